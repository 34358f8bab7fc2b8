"""How near the correlations between answers are to the target's (SAC, NeurIPS 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors, with_hidden_classes
from metav_audit.task import BoolArray


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score 1 less the mean distance of cosines, over all pairs of queries of which anything was shown."""
    own = _cosines(np.exp(tensors["reference"]))
    shown = np.asarray(mask.any(axis=2))
    apart = np.abs(_cosines(np.exp(with_hidden_classes(values, mask))) - own)
    pairs = shown[:, :, None] & shown[:, None, :] & ~np.eye(len(own), dtype=np.bool_)
    return np.asarray(1.0 - (apart * pairs).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1), dtype=np.float64)


def _cosines(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2), dtype=np.float64)
