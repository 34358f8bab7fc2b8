"""The mean of a linear verifier a query (LiteGuard, ICLR 2026)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors, sigmoid
from metav_audit.task import BoolArray


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score M models; see ``MetaVerifier.scores``."""
    relative = np.where(mask, (values - tensors["reference"]) / tensors["scale"], 0.0)
    each = sigmoid((relative * tensors["weight"]).sum(axis=2) + tensors["bias"])
    shown = mask.any(axis=2)
    return np.asarray((each * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)
