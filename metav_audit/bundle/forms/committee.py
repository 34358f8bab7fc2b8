"""The committee: the mean vote of several verifiers on the same answers.

Each vote has a name and a line, the tensor ``line.NAME``: its slope and intercept to log-odds, and its weight. See
``metav_audit.fingerprint.methods.committee``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Tensors, sigmoid
from metav_audit.task import LOG_FLOOR, BoolArray, FloatArray

COARSE_FLOOR = math.log(1 / 200)
"""To a committee's coarse distance, log-probabilities below this are equal: what two decimals show as 0."""


MOST_SHARPENED = 4.0
"""A committee sharpens or softens a model's answers by no more than this factor, to be as sharp as the target's."""


LEAST_SHARPNESS = 1e-3
"""Added to a model's sharpness, which is 0 for uniform answers."""


NEAR_FLOOR = 1e-4
"""To a committee, log-probabilities nearer to the floor than this are at it: shown as 0."""


GRADED = -1e-3
"""Answers that show no log-probability below this are labels alone."""


def size(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Count the joint vote's hidden units of all models."""
    return shape[0] * max(len(tensors["joint.hidden.weight"]), shape[1] * shape[2])


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Take the weighted mean of the votes' log-odds; where labels alone are shown, the vote on labels alone counts."""
    shown = np.asarray(mask.any(axis=2))
    labelled = "labels.weight" in tensors
    graded = np.asarray((mask & (values < GRADED)).any(axis=(1, 2)) if labelled else shown.any(axis=1))
    votes = dict(_votes(tensors, values, mask, shown))
    lines = {name: tensors[f"line.{name}"] for name in votes}
    odds = np.stack([vote * lines[name][0] + lines[name][1] for name, vote in votes.items()], axis=1)
    counted = {name: shown.any(axis=1) if name == "labels" else graded for name in votes}
    weights = np.stack([counted[name] * lines[name][2] for name in votes], axis=1)
    total = weights.sum(axis=1)
    mean = (odds * weights).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, sigmoid(mean), 0.0)


def _votes(
    tensors: Tensors, values: NDArray[np.float64], mask: BoolArray, shown: BoolArray
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each verifier's name and vote of shape (M,)."""
    reference = tensors["reference"]
    if "labels.weight" in tensors:
        answers, own = _as_near_as_shown(values, mask, reference, shown)
        known = np.broadcast_to(shown[:, :, None], mask.shape)
    else:
        answers, own, known = np.where(mask, values, reference), reference, mask
    relative = np.where(known, (answers - own) / tensors["scale"], 0.0)
    yield "distance", -_weighted(np.abs(relative), tensors["distance.weight"] * known)
    if "coarse.weight" in tensors:
        coarse = (np.maximum(answers, COARSE_FLOOR) - np.maximum(own, COARSE_FLOOR)) / tensors["scale"]
        yield "coarse", -_weighted(np.abs(coarse), tensors["coarse.weight"] * known)
    each = sigmoid((relative * tensors["local.weight"]).sum(axis=2) + tensors["local.bias"])
    share = np.clip((each * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1), 1e-4, 1 - 1e-4)
    yield "local", np.log(share) - np.log1p(-share)
    hidden = relative.reshape(len(values), -1) @ tensors["joint.hidden.weight"].T + tensors["joint.hidden.bias"]
    yield "joint", (np.maximum(hidden, 0.0) @ tensors["joint.output.weight"].T + tensors["joint.output.bias"])[:, 0]
    if "labels.weight" in tensors:
        agrees = np.where(mask, values, -np.inf).argmax(axis=2) == reference.argmax(axis=1)
        yield "labels", _weighted(agrees[:, :, None], tensors["labels.weight"][:, None] * shown[:, :, None])


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
    above = mask & (values > LOG_FLOOR + NEAR_FLOOR)
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
