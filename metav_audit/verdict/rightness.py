"""How well natural inputs are answered: as the target labels them, as its values go, or as outputs of its task look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import BoolArray, Features, FloatArray, OutputKind, OutputSpace, OutputView


def rightness(own: Features, reference: FloatArray, models: FloatArray, space: OutputSpace) -> float:
    """Return how well K natural inputs are answered: the share as labelled, a correlation, or a likeness, at most 1.

    Args:
        own: the features of the answers, (K, D), at least one of them answered.
        reference: the target's, (K, D).
        models: those of the calibration's models, (M, K, D).
        space: what they are features of.
    """
    if space.labelled:
        return _as_labelled(own.values, own.mask, reference)
    if space.kind is OutputKind.REGRESSION:
        return _correlation(own.values[own.answered], reference[own.answered])
    pool = np.concatenate([reference[None], models])
    return _likeness(own.values[own.answered], pool, pool)


def least_rightness(reference: FloatArray, models: FloatArray, space: OutputSpace) -> float:
    """Return how well the least right of the calibration's models answers them."""
    if space.labelled:
        ones = np.ones(reference.shape, np.bool_)
        return min(_as_labelled(each, ones, reference) for each in models)
    if space.kind is OutputKind.REGRESSION:
        return min(_correlation(each, reference) for each in models)
    pool = np.concatenate([reference[None], models])
    return min(_likeness(each, np.delete(pool, at + 1, 0), pool) for at, each in enumerate(models))


def is_usual(own: Features, reference: FloatArray, models: FloatArray, space: OutputSpace, view: OutputView) -> bool:
    """Say whether answers are about as like those of the task's models as any of these are like the others'.

    Right labels with scores that no model gives may be answers to inputs in another range. Labels alone tell nothing.

    Args:
        own: the features of the answers, (K, D).
        reference: the target's, (K, D).
        models: those of the calibration's models, (M, K, D).
        space: what they are features of.
        view: through which they are seen.
    """
    if view.label_only or not own.answered.any():
        return True
    some = models[:: 1 + len(models) // _ENOUGH]
    pool = np.concatenate([reference[None], some])[:, own.answered]
    seen = view.apply(Features(pool, np.ones(pool.shape, np.bool_)), space)
    theirs = _shown(seen, space)
    mine = _shown(Features(own.values[own.answered], own.mask[own.answered]), space)
    apart = np.array([np.abs(theirs - each).sum(axis=-1).mean(axis=-1) / 2 for each in theirs])
    np.fill_diagonal(apart, np.inf)
    nearest = np.abs(theirs - mine).sum(axis=-1).mean(axis=-1).min() / 2
    return bool(nearest <= _USUAL * apart.min(axis=1).max() + _SLACK)


_USUAL, _SLACK = 1.5, 0.05
"""Answers may lie so many times as far from the nearest model's as any model's do, and so many units further."""
_ENOUGH = 64
"""Models, or a little more, that answers are compared with."""


def _shown(some: Features, space: OutputSpace) -> NDArray[np.float64]:
    values = some.values.astype(np.float64)
    return np.where(some.mask, np.exp(values) if space.labelled else values, 0.0)


def achieved(right: float, own: Features, space: OutputSpace) -> str:
    """Say in a few words how well they are answered."""
    if space.labelled:
        return f"{round(right * int(own.answered.sum()))} of them as the target labels them"
    if space.kind is OutputKind.REGRESSION:
        return f"the values correlate with the target's by {right:.2f}"
    return f"a likeness of {right:.2f} to outputs of the task's models"


def _as_labelled(values: FloatArray, mask: BoolArray, reference: FloatArray) -> float:
    """Return the share of answers whose likeliest label is the reference's."""
    answered = mask.any(axis=1)
    top = np.where(mask, values, -np.inf)[answered].argmax(axis=1)
    return float((top == reference[answered].argmax(axis=1)).mean())


def _correlation(values: FloatArray, reference: FloatArray) -> float:
    """Return the correlation of the least correlated quantity; 0 where a quantity does not vary."""
    found = 1.0
    for one, other in zip(values.T.astype(np.float64), reference.T.astype(np.float64), strict=True):
        varied = min(np.ptp(one), np.ptp(other)) > 1e-9
        found = min(found, float(np.corrcoef(one, other)[0, 1]) if varied else 0.0)
    return found


def _likeness(values: FloatArray, pool: FloatArray, everyone: FloatArray) -> float:
    """Return how like generated outputs are to those of a pool of models, 1 where they are the same, above 0.

    Half of it is what the pool's own outputs have among each other.
    """
    usual = float(np.median([_nearest(each, np.delete(everyone, at, 0)) for at, each in enumerate(everyone)]))
    return usual / (usual + _nearest(values, pool) + 1e-12)


def _nearest(values: FloatArray, pool: FloatArray) -> float:
    """Return how far outputs lie from the nearest of any output in a pool, on average."""
    flat: NDArray[np.float32] = pool.reshape(-1, pool.shape[-1])
    return float(np.mean([np.abs(flat - one).mean(axis=1).min() for one in values]))
