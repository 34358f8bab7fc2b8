"""The share of groups of queries with which the labels agree, each by its own threshold (IrisFP, CVPR 2026)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors
from metav_audit.task import BoolArray


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score M models; see ``MetaVerifier.scores``.

    A group of which nothing was shown does not count; of the others the labels shown decide.
    """
    shown = mask.any(axis=2)
    agrees = (np.where(mask, values, -np.inf).argmax(axis=2) == tensors["labels"]) & shown
    member = (tensors["groups"][:, None] == np.arange(len(tensors["thresholds"]))).astype(np.int64)
    asked = shown @ member
    agreed = (agrees @ member >= tensors["thresholds"] * asked - EXACT) & (asked > 0)
    return np.asarray(agreed.sum(axis=1) / np.maximum((asked > 0).sum(axis=1), 1), dtype=np.float64)


EXACT = 1e-6
"""Shares closer than this are equal: three of four labels are three quarters."""
