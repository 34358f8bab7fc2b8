"""The meta-verifier: its form and its parameters. Scored in numpy: the auditor's machine needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms import (
    accounts,
    agreement,
    bits,
    committee,
    composite,
    correlation,
    joint,
    local,
    siblings,
)
from metav_audit.bundle.forms.base import Form, Tensors
from metav_audit.task import BoolArray, FloatArray, OutputSpace, OutputView


class VerifierKind(StrEnum):
    """The form of a meta-verifier."""

    JOINT = "joint"
    """A two-layer perceptron on all answers at once (MetaV, KDD 2022, section 4)."""
    AGREEMENT = "agreement"
    """The share of queries on which the suspect's label is the target's (IPGuard, AsiaCCS 2021)."""
    COMPOSITE = "composite"
    """The share of groups of queries with which the labels agree (IrisFP, CVPR 2026)."""
    BITS = "bits"
    """The share of target bits that the answers spell (after FIT-Print); see ``metav_audit.bundle.target_bits``."""
    LOCAL = "local"
    """The mean of a linear verifier a query (LiteGuard, ICLR 2026)."""
    CORRELATION = "correlation"
    """How near the correlations between a model's answers are to those between the target's (SAC, NeurIPS 2022)."""
    COMMITTEE = "committee"
    """The mean vote of several verifiers on the same answers; see ``metav_audit.fingerprint.methods.committee``."""
    SIBLINGS = "siblings"
    """How near to the target among reruns of its training; see ``metav_audit.bundle.forms.siblings``."""
    ACCOUNTS = "accounts"
    """The same on inputs of the owner's request log; see ``metav_audit.bundle.forms.accounts``."""


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
        return _FORMS[self.kind].score(self._exact, np.asarray(values, np.float64), mask)

    def ranked(self, values: FloatArray, mask: BoolArray) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the scores of M models, and the exact p-values of their ranks among the target's siblings.

        The arguments are those of ``scores``; p-values are float64 of shape (M,), in (0, 1]; None without siblings.
        """
        rank = _FORMS[self.kind].rank
        if rank is None:
            return self.scores(values, mask), None
        return rank(self._exact, np.asarray(values, np.float64), mask)

    def standings(self, values: FloatArray, mask: BoolArray) -> NDArray[np.float64] | None:
        """Return what the rank of M models compares, of the target and each sibling, of shape (M, K + 1).

        The arguments are those of ``scores``; None without siblings.
        """
        standing = _FORMS[self.kind].standing
        return None if standing is None else standing(self._exact, np.asarray(values, np.float64), mask)

    def by_account(self, values: FloatArray, mask: BoolArray) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return how near M models are to the target by each account's queries, and p-values, of shape (M, accounts).

        The arguments are those of ``scores``; None where the queries are no account's.
        """
        split = _FORMS[self.kind].by_account
        return None if split is None else split(self._exact, np.asarray(values, np.float64), mask)

    def family(self, values: FloatArray, mask: BoolArray) -> NDArray[np.float64] | None:
        """Return how like M models are to the family of the target's ancestor; None where nothing is known of one.

        The arguments are those of ``scores``; what is returned is float64 of shape (M,), in [-1, 1].
        """
        family = _FORMS[self.kind].family
        return None if family is None else family(self._exact, np.asarray(values, np.float64), mask)

    def through(self, view: OutputView, space: OutputSpace) -> MetaVerifier:
        """Return the verifier for suspects that are seen through a view."""
        seen = _FORMS[self.kind].seen
        return self if seen is None else replace(self, tensors=seen(self.tensors, view, space))

    def largest(self, models: int, queries: int, width: int) -> int:
        """Return how many numbers the largest array has that scoring so many models' answers makes.

        Raises:
            KeyError, IndexError: a tensor is missing, or has too few dimensions.
        """
        return _FORMS[self.kind].size(self.tensors, (models, queries, width))

    @property
    def siblings(self) -> int | None:
        """How many siblings of the target it knows; None where its form has none."""
        return None if _FORMS[self.kind].rank is None else len(self.tensors[siblings.MODELS]) - 1

    @property
    def kin(self) -> bool:
        """Whether it knows siblings of a target that was tuned from an ancestor, and what else starts from it."""
        return siblings.KIN in self.tensors

    @property
    def _exact(self) -> Tensors:
        return {name: np.asarray(tensor, np.float64) for name, tensor in self.tensors.items()}


VERIFIER_LIMITS: Mapping[str, float] = {
    "tie_nats": bits.TIE,
    "group_equal": composite.EXACT,
    "coarse_floor": committee.COARSE_FLOOR,
    "most_sharpened": committee.MOST_SHARPENED,
    "least_sharpness": committee.LEAST_SHARPNESS,
    "near_floor": committee.NEAR_FLOOR,
    "graded": committee.GRADED,
    "sibling_clip": siblings.CLIP,
    "sibling_ridge": siblings.RIDGE,
    "sibling_least_spread": siblings.LEAST_SPREAD,
    "sibling_equal": siblings.EQUAL,
    "account_repeats": accounts.REPEATS,
    "account_unseen": accounts.UNSEEN,
}
"""Limits that the forms set to what they compare; a commitment states them."""

_FORMS: Mapping[VerifierKind, Form] = {
    VerifierKind.JOINT: Form(joint.score, size=joint.size),
    VerifierKind.AGREEMENT: Form(agreement.score),
    VerifierKind.COMPOSITE: Form(composite.score),
    VerifierKind.BITS: Form(bits.score, size=bits.size),
    VerifierKind.LOCAL: Form(local.score),
    VerifierKind.CORRELATION: Form(correlation.score, size=correlation.size),
    VerifierKind.COMMITTEE: Form(committee.score, size=committee.size),
    VerifierKind.SIBLINGS: siblings.FORM,
    VerifierKind.ACCOUNTS: accounts.FORM,
}
"""The registry of forms: a line each."""
