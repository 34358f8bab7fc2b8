"""The meta-verifier's forward pass in numpy: the auditor's machine needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.responses import BoolArray, FloatArray


class VerifierKind(StrEnum):
    """The form of a meta-verifier."""

    JOINT = "joint"
    """A two-layer perceptron on all answers at once (MetaV, KDD 2022, section 4)."""
    AGREEMENT = "agreement"
    """The share of queries on which the suspect's label is the target's (IPGuard, AsiaCCS 2021)."""


@dataclass(frozen=True, slots=True)
class MetaVerifier:
    """A meta-verifier: concatenated output features -> score in [0, 1], 1 for derived from the target.

    Attributes:
        kind: the form, which says what ``tensors`` holds.
        tensors: its parameters, float32, by name.
    """

    kind: VerifierKind
    tensors: Mapping[str, FloatArray]

    def scores(self, values: FloatArray, mask: BoolArray) -> NDArray[np.float64]:
        """Score M models at once.

        Args:
            values: canonical features, float32 of shape (M, N, D).
            mask: bool of the same shape; a masked-out feature counts as equal to the target's.

        Returns:
            float64 of shape (M,), in [0, 1].
        """
        return _FORWARD[self.kind](self.tensors, np.asarray(values, np.float64), mask)


def _joint(tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    standard = np.where(mask, (values - tensors["reference"]) / tensors["scale"], 0.0)
    hidden = standard.reshape(len(values), -1) @ tensors["hidden.weight"].T + tensors["hidden.bias"]
    logits = np.maximum(hidden, 0.0) @ tensors["output.weight"].T + tensors["output.bias"]
    return _sigmoid(logits[:, 0])


def _agreement(tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    shown = mask.any(axis=2)
    labels = np.where(mask, values, -np.inf).argmax(axis=2)
    agrees = (labels == tensors["labels"].astype(np.int64)) & shown
    return np.asarray(agrees.sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)


_FORWARD = {VerifierKind.JOINT: _joint, VerifierKind.AGREEMENT: _agreement}
