"""The share of queries on which the suspect's label is the target's (IPGuard, AsiaCCS 2021)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors
from metav_audit.task import BoolArray


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score M models; see ``MetaVerifier.scores``."""
    shown = mask.any(axis=2)
    labels = np.where(mask, values, -np.inf).argmax(axis=2)
    agrees = (labels == tensors["labels"].astype(np.int64)) & shown
    return np.asarray(agrees.sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)
