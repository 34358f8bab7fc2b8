"""A two-layer perceptron on all answers at once (MetaV, KDD 2022, section 4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors, sigmoid
from metav_audit.task import BoolArray, FloatArray


def size(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Count the hidden units of all models."""
    return shape[0] * max(len(tensors["hidden.weight"]), shape[1] * shape[2])


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score M models; see ``MetaVerifier.scores``."""
    standard = np.where(mask, (values - tensors["reference"]) / tensors["scale"], 0.0)
    hidden = standard.reshape(len(values), -1) @ tensors["hidden.weight"].T + tensors["hidden.bias"]
    logits = np.maximum(hidden, 0.0) @ tensors["output.weight"].T + tensors["output.bias"]
    return sigmoid(logits[:, 0])
