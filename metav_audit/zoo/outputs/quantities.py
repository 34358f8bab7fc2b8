"""Quantities: a regression's squared error in the space's units, and R²."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.errors import DataError
from metav_audit.task import FloatArray, Quantities, ScoreKind
from metav_audit.zoo.outputs.base import Loss, TrainedOutput

_GOLDEN = 0.6180339887
"""Its multiples, modulo 1, are spread evenly however many are taken."""


class Regression(TrainedOutput):
    """Quantities, each with a usual center and scale."""

    figure = "has R² ="
    space: Quantities

    def features(self, outputs: Tensor) -> Tensor:
        """Return values in scales from the center, clipped."""
        center, scale = (torch.from_numpy(each).to(outputs.dtype) for each in (self.space.center, self.space.scale))
        return ((outputs - center) / scale).clamp(-self.space.CAP, self.space.CAP)

    def loss(self) -> Loss:
        """Return the mean squared error in scales."""
        scale = torch.from_numpy(self.space.scale).float()

        def loss(values: Tensor, wanted: Tensor) -> Tensor:
            there = scale.to(values.device)
            return functional.mse_loss(values / there, wanted / there)

        return loss

    @torch.no_grad()
    def performance(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
        """Return R², the mean over quantities."""
        rest = ((model(inputs) - labels).double() ** 2).mean(dim=0)
        return float((1 - rest / labels.double().var(dim=0, correction=0)).mean())

    def labels(self, raw: NDArray[Any], count: int, what: str) -> NDArray[np.float32]:
        """Return values as float32 of shape (count, quantities): finite, of more than one value each."""
        wanted = (count, self.space.size)
        table = raw[:, None] if raw.ndim == 1 else raw
        if table.shape != wanted:
            raise DataError(f"{what} has shape {raw.shape}, the task wants {wanted}: a value a quantity and input")
        if table.dtype.kind not in "iuf" or not np.isfinite(table).all():
            raise DataError(f"{what} holds what is no finite number: clean the values first")
        if (np.ptp(table, axis=0) == 0).any():
            raise DataError(f"{what} holds the same value throughout: a regression cannot be trained on it")
        return table.astype(np.float32)

    def surest(
        self, labels: NDArray[Any], own: FloatArray, others: FloatArray, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Take the surest half, from low values to high by turns, so that they vary."""
        del rng
        truth = self.space.canonical(labels.reshape(len(own), -1), ScoreKind.VALUE)
        doubt = np.abs(own - truth).max(axis=1) + np.ptp(others, axis=0).max(axis=1)
        sure = np.sort(np.argsort(doubt, kind="stable")[: max(len(doubt) // 2, 2)])
        ranked = sure[np.argsort(own[sure, 0], kind="stable")]
        return ranked[np.argsort(np.arange(len(ranked)) * _GOLDEN % 1.0, kind="stable")]

    def head(self) -> list[nn.Module]:
        """Bring a network's numbers into the quantities' units."""
        return [Units(self.space)]


class Units(nn.Module):
    """Gives values in their own units from numbers around 0, which a fresh network gives."""

    def __init__(self, space: Quantities) -> None:
        super().__init__()
        self.center: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("center", torch.from_numpy(space.center).float())
        self.register_buffer("scale", torch.from_numpy(space.scale).float())

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Scale and shift."""
        return numbers * self.scale + self.center
