"""The share of target bits that the answers spell (after FIT-Print)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors, with_hidden_classes
from metav_audit.task import BoolArray, FloatArray

TIE = 1e-6
"""A bit whose two sides lie closer than this, in nats, is spelled by neither."""


def size(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Count the bits that all models spell."""
    return shape[0] * shape[1] * max(int(tensors["splits"].shape[1]), shape[2])


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score M models; see ``MetaVerifier.scores``."""
    logs = with_hidden_classes(values, mask)
    plus = tensors["splits"] > 0
    weights = plus / plus.sum(axis=2, keepdims=True) - ~plus / (~plus).sum(axis=2, keepdims=True)
    read = np.einsum("mnc,nkc->mnk", logs, weights)
    shown = np.asarray(mask.any(axis=2))
    right = (tensors["bits"] * read > TIE) & shown[:, :, None]
    counted = shown.sum(axis=1) * read.shape[2]
    return np.asarray(right.sum(axis=(1, 2)) / np.maximum(counted, 1), dtype=np.float64)
