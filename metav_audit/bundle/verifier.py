"""The meta-verifier's forward pass in numpy: the auditor's machine needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.committee import COARSE_FLOOR, LEAST_SHARPNESS, MOST_SHARPENED, _committee
from metav_audit.bundle.forms import TIE, _agreement, _bits, _correlation, _joint, _local
from metav_audit.task import BoolArray, FloatArray


class VerifierKind(StrEnum):
    """The form of a meta-verifier."""

    JOINT = "joint"
    """A two-layer perceptron on all answers at once (MetaV, KDD 2022, section 4)."""
    AGREEMENT = "agreement"
    """The share of queries on which the suspect's label is the target's (IPGuard, AsiaCCS 2021)."""
    BITS = "bits"
    """The share of target bits that the answers spell (after FIT-Print); see ``metav_audit.bundle.target_bits``."""
    LOCAL = "local"
    """The mean of a linear verifier a query (LiteGuard, ICLR 2026)."""
    CORRELATION = "correlation"
    """How near the correlations between a model's answers are to those between the target's (SAC, NeurIPS 2022)."""
    COMMITTEE = "committee"
    """The mean vote of several verifiers on the same answers; see ``metav_audit.fingerprint.methods.committee``."""


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
            mask: bool of the same shape. A masked-out feature counts as equal to the target's; for target bits and
                correlations, as an equal share of the probability not shown; for a committee's classifications, as
                near to the target's as what was shown allows. A query of which nothing was shown does not count.

        Returns:
            float64 of shape (M,), in [0, 1].
        """
        exact = {name: np.asarray(tensor, np.float64) for name, tensor in self.tensors.items()}
        return _FORWARD[self.kind](exact, np.asarray(values, np.float64), mask)


VERIFIER_LIMITS: Mapping[str, float] = {
    "tie_nats": TIE,
    "coarse_floor": COARSE_FLOOR,
    "most_sharpened": MOST_SHARPENED,
    "least_sharpness": LEAST_SHARPNESS,
}
"""Limits that the forms set to what they compare; a commitment states them."""

_FORWARD = {
    VerifierKind.JOINT: _joint,
    VerifierKind.AGREEMENT: _agreement,
    VerifierKind.BITS: _bits,
    VerifierKind.LOCAL: _local,
    VerifierKind.CORRELATION: _correlation,
    VerifierKind.COMMITTEE: _committee,
}
