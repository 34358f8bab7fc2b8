"""The meta-verifier's forward pass in numpy: the auditor's machine needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.outputs import LOG_FLOOR
from metav_audit.responses import BoolArray, FloatArray

TIE = 1e-6
"""A bit whose two sides lie closer than this, in nats, is spelled by neither."""


COARSE_FLOOR = math.log(1 / 200)
"""To a committee's coarse distance, log-probabilities below this are equal: what two decimals show as 0."""

MOST_SHARPENED = 4.0
"""A committee sharpens or softens a model's answers by no more than this factor, to be as sharp as the target's."""
LEAST_SHARPNESS = 1e-3
"""Added to a model's sharpness, which is 0 for uniform answers."""

_NEAR_FLOOR = 1e-4
_GRADED = -1e-3
"""Answers that show no log-probability below this are labels alone."""


class VerifierKind(StrEnum):
    """The form of a meta-verifier."""

    JOINT = "joint"
    """A two-layer perceptron on all answers at once (MetaV, KDD 2022, section 4)."""
    AGREEMENT = "agreement"
    """The share of queries on which the suspect's label is the target's (IPGuard, AsiaCCS 2021)."""
    BITS = "bits"
    """The share of target bits that the answers spell (after FIT-Print); ``metav_audit.targeted`` derives them."""
    LOCAL = "local"
    """The mean of a linear verifier a query (LiteGuard, ICLR 2026)."""
    CORRELATION = "correlation"
    """How near the correlations between a model's answers are to those between the target's (SAC, NeurIPS 2022)."""
    COMMITTEE = "committee"
    """The mean vote of several verifiers on the same answers; see ``metav_audit.fingerprint.best``."""


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


def _bits(tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    logs = _with_hidden_classes(values, mask)
    plus = tensors["splits"] > 0
    weights = plus / plus.sum(axis=2, keepdims=True) - ~plus / (~plus).sum(axis=2, keepdims=True)
    read = np.einsum("mnc,nkc->mnk", logs, weights)
    shown = np.asarray(mask.any(axis=2))
    right = (tensors["bits"] * read > TIE) & shown[:, :, None]
    counted = shown.sum(axis=1) * read.shape[2]
    return np.asarray(right.sum(axis=(1, 2)) / np.maximum(counted, 1), dtype=np.float64)


def _local(tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    relative = np.where(mask, (values - tensors["reference"]) / tensors["scale"], 0.0)
    each = _sigmoid((relative * tensors["weight"]).sum(axis=2) + tensors["bias"])
    shown = mask.any(axis=2)
    return np.asarray((each * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)


def _correlation(
    tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray
) -> NDArray[np.float64]:
    """Score 1 less the mean distance of cosines, over all pairs of queries of which anything was shown."""
    own = _cosines(np.exp(np.asarray(tensors["reference"], np.float64)))
    shown = np.asarray(mask.any(axis=2))
    apart = np.abs(_cosines(np.exp(_with_hidden_classes(values, mask))) - own)
    pairs = shown[:, :, None] & shown[:, None, :] & ~np.eye(len(own), dtype=np.bool_)
    return np.asarray(1.0 - (apart * pairs).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1), dtype=np.float64)


def _committee(tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Take the weighted mean of the votes' log-odds; where labels alone are shown, the vote on labels alone counts."""
    shown = np.asarray(mask.any(axis=2))
    labelled = "labels.weight" in tensors
    graded = np.asarray((mask & (values < _GRADED)).any(axis=(1, 2)) if labelled else shown.any(axis=1))
    votes = np.stack(list(_votes(tensors, values, mask, shown)), axis=1)
    odds = votes * tensors["line"][:, 0] + tensors["line"][:, 1]
    weights = graded[:, None] * tensors["line"][:, 2]
    if labelled:
        weights[:, -1] = shown.any(axis=1) * tensors["line"][-1, 2]
    total = weights.sum(axis=1)
    mean = (odds * weights).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, _sigmoid(mean), 0.0)


def _votes(
    tensors: Mapping[str, FloatArray], values: NDArray[np.float64], mask: BoolArray, shown: BoolArray
) -> Iterator[NDArray[np.float64]]:
    """Yield each verifier's vote of shape (M,), in the order of the tensor "line"."""
    reference = np.asarray(tensors["reference"], np.float64)
    if "labels.weight" in tensors:
        answers, own = _as_near_as_shown(values, mask, reference, shown)
        known = np.broadcast_to(shown[:, :, None], mask.shape)
    else:
        answers, own, known = np.where(mask, values, reference), reference, mask
    relative = np.where(known, (answers - own) / tensors["scale"], 0.0)
    yield -_weighted(np.abs(relative), tensors["distance.weight"] * known)
    if "coarse.weight" in tensors:
        coarse = (np.maximum(answers, COARSE_FLOOR) - np.maximum(own, COARSE_FLOOR)) / tensors["scale"]
        yield -_weighted(np.abs(coarse), tensors["coarse.weight"] * known)
    each = _sigmoid((relative * tensors["local.weight"]).sum(axis=2) + tensors["local.bias"])
    share = np.clip((each * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1), 1e-4, 1 - 1e-4)
    yield np.log(share) - np.log1p(-share)
    hidden = relative.reshape(len(values), -1) @ tensors["joint.hidden.weight"].T + tensors["joint.hidden.bias"]
    yield (np.maximum(hidden, 0.0) @ tensors["joint.output.weight"].T + tensors["joint.output.bias"])[:, 0]
    if "labels.weight" in tensors:
        agrees = np.where(mask, values, -np.inf).argmax(axis=2) == reference.argmax(axis=1)
        yield _weighted(agrees[:, :, None], tensors["labels.weight"][:, None] * shown[:, :, None])


def _as_near_as_shown(
    values: NDArray[np.float64], mask: BoolArray, reference: NDArray[np.float64], shown: BoolArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log-probabilities as sharp as the target's, hidden classes filled in, and the target's as finely told.

    A hidden class has no more than the least that was shown of its answer, nor than what is left of the probability;
    within that it counts as the target's. Where a model shows probabilities of 0, all below the least that it shows
    otherwise are the same to it: so rounding to a few decimals is no distance.
    """
    least = np.where(mask, values, 0.0).min(axis=2, keepdims=True)
    left = 1.0 - np.where(mask, np.exp(np.where(mask, values, 0.0)), 0.0).sum(axis=2, keepdims=True)
    bound = np.minimum(least, np.log(np.maximum(left, math.exp(LOG_FLOOR))))
    filled = np.where(mask, values, np.minimum(reference, bound))
    above = mask & (values > LOG_FLOOR + _NEAR_FLOOR)
    told = np.where(above, values, 0.0).min(axis=(1, 2), keepdims=True)
    told = np.where((mask & ~above).any(axis=(1, 2), keepdims=True), told, LOG_FLOOR)
    filled, own = np.maximum(filled, told), np.maximum(reference, told)
    sharpness = [_mean_spread(each, shown) for each in (own, filled)]
    factor = np.clip(sharpness[0] / (sharpness[1] + LEAST_SHARPNESS), 1 / MOST_SHARPENED, MOST_SHARPENED)
    matched = filled * factor[:, None, None]
    highest = matched.max(axis=2, keepdims=True)
    matched = matched - highest - np.log(np.exp(matched - highest).sum(axis=2, keepdims=True))
    return np.maximum(matched, told), own


def _mean_spread(answers: NDArray[np.float64], shown: BoolArray) -> NDArray[np.float64]:
    spread = answers.std(axis=2, ddof=1)
    return np.asarray((spread * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)


def _weighted(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    total = (values * weights).sum(axis=(1, 2)) / np.maximum(weights.sum(axis=(1, 2)), 1e-12)
    return np.asarray(total, dtype=np.float64)


def _cosines(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2), dtype=np.float64)


def _with_hidden_classes(values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Give hidden classes equal shares of the probability not shown; with a label alone its side of a split wins."""
    hidden = np.maximum((~mask).sum(axis=2, keepdims=True), 1)
    rest = 1.0 - np.where(mask, np.exp(np.where(mask, values, 0.0)), 0.0).sum(axis=2, keepdims=True)
    share = np.log(np.maximum(rest / hidden, np.exp(LOG_FLOOR)))
    return np.where(mask, values, share)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)


_FORWARD = {
    VerifierKind.JOINT: _joint,
    VerifierKind.AGREEMENT: _agreement,
    VerifierKind.BITS: _bits,
    VerifierKind.LOCAL: _local,
    VerifierKind.CORRELATION: _correlation,
    VerifierKind.COMMITTEE: _committee,
}
