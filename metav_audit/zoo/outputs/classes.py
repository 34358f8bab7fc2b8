"""Classes: cross-entropy, distillation at a temperature, balanced accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.errors import DataError
from metav_audit.task import LOG_FLOOR, FloatArray, OutputSpace
from metav_audit.zoo.outputs.base import Loss, TrainedOutput


class Classes(TrainedOutput):
    """Scores of classes, of which one is the label."""

    gives = ("logits", "probabilities")
    figure = "has a balanced accuracy of"

    def __init__(self, space: OutputSpace) -> None:
        super().__init__(space)
        self.guessing = 1 / space.size

    def features(self, outputs: Tensor) -> Tensor:
        """Return clipped log-probabilities of logits."""
        return torch.log_softmax(outputs, dim=1).clamp(min=LOG_FLOOR)

    def loss(self) -> Loss:
        """Return cross-entropy."""
        return functional.cross_entropy

    def distillation_loss(self, temperature: float) -> Loss:
        """Return the Kullback-Leibler divergence from the teacher's softened probabilities (Hinton et al. 2015)."""

        def loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
            student = functional.log_softmax(logits / temperature, dim=1)
            teacher = functional.log_softmax(teacher_logits / temperature, dim=1)
            return functional.kl_div(student, teacher, log_target=True, reduction="batchmean") * temperature**2

        return loss

    @torch.no_grad()
    def performance(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
        """Return balanced accuracy, the mean over classes of the share of right labels, in [0, 1].

        Where one class is most of the data, plain accuracy praises a model that always says it.
        """
        right = (model(inputs).argmax(dim=1) == labels).double()
        return float(torch.stack([right[labels == label].mean() for label in torch.unique(labels)]).mean())

    def surest(
        self, labels: NDArray[Any], own: FloatArray, others: FloatArray, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Take those on which most agree, and among these as many of each label as can be."""
        said = own.argmax(axis=1)
        agreeing = (others.argmax(axis=2) == said).mean(axis=0)
        order = rng.permutation(len(own))
        order = order[np.argsort(-agreeing[order], kind="stable")]
        order = order[said[order] == labels[order]]
        turns = np.array([int((said[order[:at]] == said[row]).sum()) for at, row in enumerate(order)], dtype=np.int64)
        return np.asarray(order[np.lexsort((turns, -agreeing[order]))])

    def labels(self, raw: NDArray[Any], count: int, what: str) -> NDArray[np.int64]:
        """Return classes as int64 of shape (count,): integers in range, of more than one class."""
        flat = raw.reshape(-1)
        if len(flat) != count:
            raise DataError(f"{what} has {len(flat)} labels for {count} inputs: they must be as many")
        if flat.dtype.kind not in "iuf" or not np.isfinite(flat).all() or not np.array_equal(flat, np.round(flat)):
            raise DataError(f"{what} holds labels that are not integers: number the classes from 0")
        if flat.min() < 0 or flat.max() >= self.space.size:
            raise DataError(
                f"{what} holds label {int(flat.min() if flat.min() < 0 else flat.max())}, the task has classes "
                f"0 .. {self.space.size - 1}: renumber them or mend the task's labels"
            )
        if len(np.unique(flat)) < 2:
            raise DataError(f"{what} holds one class only: a classifier cannot be trained on it")
        return flat.astype(np.int64)
