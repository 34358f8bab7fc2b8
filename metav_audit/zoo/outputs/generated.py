"""Generated tensors: trained against a discriminator, measured by their energy distance to real examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.errors import DataError
from metav_audit.task import FloatArray, GeneratedTensor, ScoreKind, TaskSpec
from metav_audit.zoo.generative import quality
from metav_audit.zoo.outputs.base import Loss, TrainedOutput


class Generation(TrainedOutput):
    """Tensors, often images, made from what a model is given."""

    figure = "has a quality of"
    adversarial = True
    space: GeneratedTensor

    def features(self, outputs: Tensor) -> Tensor:
        """Return elements in widths of the range; levels are not rounded, which would leave no gradient."""
        space = self.space
        return ((outputs.flatten(1) - space.low) / (space.high - space.low)).clamp(0, 1) - 0.5

    def shown(self, features: NDArray[Any]) -> FloatArray:
        """Round to the levels that an API's answer keeps."""
        return self.space.canonical(self.space.shown(features), ScoreKind.VALUE).astype(np.float32)

    def loss(self) -> Loss:
        """Return the mean squared error in widths of the range: what a student of a generator learns by."""
        width = torch.tensor(self.space.high - self.space.low)
        return lambda values, wanted: functional.mse_loss(values / width, wanted / width)

    @torch.no_grad()
    def performance(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
        """Return ``quality``, of the examples ``labels``."""
        return quality(model, inputs, labels)

    def labels(self, raw: NDArray[Any], count: int, what: str) -> NDArray[Any]:
        """Refuse: a generator's data are examples alone."""
        del raw, count
        raise DataError(f"{what}: a generator's examples have no labels")

    def surest(
        self, labels: NDArray[Any], own: FloatArray, others: FloatArray, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Take any: nothing that is generated is right or wrong."""
        del labels, others
        return rng.permutation(len(own))

    def suits(self, architecture: str, task: TaskSpec) -> bool:
        """Take decoders for any tensor, DCGANs for images."""
        return architecture.startswith("decoder") or (len(task.output.shape) == 3 and architecture.startswith("dcgan"))
