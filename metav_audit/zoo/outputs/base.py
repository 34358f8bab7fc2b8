"""What the owner's side has to know of a kind of output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from metav_audit.task import FloatArray, OutputSpace, TaskSpec

Loss = Callable[[Tensor, Tensor], Tensor]
"""From what a model gives and what is wanted to what training lowers."""


class TrainedOutput(ABC):
    """One task's output as its models are trained and measured.

    Attributes:
        space: the auditor's side of it.
        gives: words for what a target may give; the first is the usual one.
        figure: words for ``performance``, as "has a balanced accuracy of".
        guessing: the performance of a model that knows nothing of its input.
        adversarial: whether models are trained against a discriminator, which replaces a loss.
    """

    gives: tuple[str, ...] = ("values",)
    figure: str
    guessing: float = 0.0
    adversarial: bool = False

    def __init__(self, space: OutputSpace) -> None:
        self.space = space

    @abstractmethod
    def features(self, outputs: Tensor) -> Tensor:
        """Return canonical features of shape (N, D), with a gradient, of what a model gives."""

    def shown(self, features: NDArray[Any]) -> FloatArray:
        """Return features of shape (..., N, D) as an API that shows all gives them."""
        return features.astype(np.float32)

    @abstractmethod
    def loss(self) -> Loss:
        """Return the loss of a supervised training."""

    def distillation_loss(self, temperature: float) -> Loss:
        """Return a student's loss; values have no temperature: it learns its teacher's as it would the true ones."""
        del temperature
        return self.loss()

    @abstractmethod
    def performance(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
        """Return a model's performance on labelled data, at most 1."""

    @abstractmethod
    def labels(self, raw: NDArray[Any], count: int, what: str) -> NDArray[Any]:
        """Return the labels of ``count`` inputs, checked.

        Raises:
            DataError: they do not fit the task.
        """

    @abstractmethod
    def surest(
        self, labels: NDArray[Any], own: FloatArray, others: FloatArray, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return rows in the order in which they are wanted as natural inputs: the target right, the zoo of one mind.

        Args:
            labels: of N inputs, as ``labels`` returns them; a generator's are its examples.
            own: the target's features, of shape (N, D).
            others: those of a zoo's models, (models, N, D).
            rng: breaks ties.
        """

    def head(self) -> list[nn.Module]:
        """Return layers that bring a built-in network's numbers into the output's units."""
        return []

    def suits(self, architecture: str, task: TaskSpec) -> bool:
        """Say whether a built-in architecture suits such a task."""
        return architecture.startswith("mlp") or (
            len(task.domain.shape) == 3 and architecture.startswith(("cnn", "resnet"))
        )
