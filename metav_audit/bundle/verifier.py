"""The meta-verifier: its form and its parameters. Scored in numpy: the auditor's machine needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms import agreement, bits, committee, correlation, joint, local
from metav_audit.bundle.forms.base import Tensors
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
        return _FORMS[self.kind](exact, np.asarray(values, np.float64), mask)


VERIFIER_LIMITS: Mapping[str, float] = {
    "tie_nats": bits.TIE,
    "coarse_floor": committee.COARSE_FLOOR,
    "most_sharpened": committee.MOST_SHARPENED,
    "least_sharpness": committee.LEAST_SHARPNESS,
    "near_floor": committee.NEAR_FLOOR,
    "graded": committee.GRADED,
}
"""Limits that the forms set to what they compare; a commitment states them."""

_FORMS: Mapping[VerifierKind, Callable[[Tensors, NDArray[np.float64], BoolArray], NDArray[np.float64]]] = {
    VerifierKind.JOINT: joint.score,
    VerifierKind.AGREEMENT: agreement.score,
    VerifierKind.BITS: bits.score,
    VerifierKind.LOCAL: local.score,
    VerifierKind.CORRELATION: correlation.score,
    VerifierKind.COMMITTEE: committee.score,
}
"""The registry of forms: a line each."""
