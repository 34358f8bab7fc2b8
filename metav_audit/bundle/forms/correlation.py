"""How near the correlations between answers are to the target's (SAC, NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors, with_hidden_classes
from metav_audit.task import BoolArray, FloatArray


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score 1 less the mean distance of cosines, over all pairs of queries of which anything was shown."""
    own = _cosines(np.exp(tensors["reference"]))
    others = ~np.eye(len(own), dtype=np.bool_)
    return np.array([_likeness(*each, own, others) for each in zip(values, mask, strict=True)], dtype=np.float64)


def size(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Count the pairs of queries, two arrays of them; a hundred models in turn take as long as two more."""
    del tensors
    return max(2 * shape[1] ** 2 * (1 + shape[0] // 100), shape[0] * shape[1] * shape[2])


def _likeness(values: NDArray[np.float64], mask: BoolArray, own: NDArray[np.float64], others: BoolArray) -> float:
    shown = np.asarray(mask.any(axis=1))
    apart = np.abs(_cosines(np.exp(with_hidden_classes(values[None], mask[None])[0])) - own)
    pairs = shown[:, None] & shown[None, :] & others
    return 1.0 - float((apart * pairs).sum()) / max(int(pairs.sum()), 1)


def _cosines(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2), dtype=np.float64)
