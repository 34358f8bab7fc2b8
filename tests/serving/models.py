"""Torch models of the toy task that are exactly those of ``tests.builders``, to be served as ``module:function``."""

from __future__ import annotations

import torch
from torch import nn

from tests.builders import linear_weights
from tests.toy import TASK

FAR = 3.0
"""The distance of models that hardly know each other."""


class Linear(nn.Module):
    """``linear_model`` of a seed, as logits or as probabilities."""

    def __init__(self, seed: int, *, probabilities: bool = False) -> None:
        super().__init__()
        weights = linear_weights(TASK, seed, distance=FAR)
        self.weights = nn.Parameter(torch.from_numpy(weights).float())
        self.probabilities = probabilities

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = inputs.flatten(1) @ self.weights
        return torch.softmax(logits, dim=1) if self.probabilities else logits


def target() -> nn.Module:
    """What ``make_bundle`` protects."""
    return Linear(0)


def target_probabilities() -> nn.Module:
    """The same, giving probabilities."""
    return Linear(0, probabilities=True)


def independent() -> nn.Module:
    """Another model of the task."""
    return Linear(5)


def untrained() -> nn.Module:
    """The structure alone."""
    return Linear(9)


def failing() -> nn.Module:
    """A model that cannot be had."""
    raise OSError("no such weights")
