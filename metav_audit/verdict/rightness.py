"""How well natural inputs are answered: as the target labels them, as its values go, or as outputs of its task look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import Features, FloatArray, OutputSpace, OutputView


def rightness(own: Features, reference: FloatArray, models: FloatArray, space: OutputSpace) -> float:
    """Return how well K natural inputs are answered: the share as labelled, a correlation, or a likeness, at most 1.

    Args:
        own: the features of the answers, (K, D), at least one of them answered.
        reference: the target's, (K, D).
        models: those of the calibration's models, (M, K, D).
        space: what they are features of.
    """
    pool, answered = np.concatenate([reference[None], models]), own.answered
    return space.rightness(own.values[answered], own.mask[answered], reference[answered], pool)


def least_rightness(reference: FloatArray, models: FloatArray, space: OutputSpace) -> float:
    """Return how well the least right of the calibration's models answers them."""
    pool, shown = np.concatenate([reference[None], models]), np.ones(reference.shape, np.bool_)
    return min(space.rightness(each, shown, reference, np.delete(pool, at + 1, 0)) for at, each in enumerate(models))


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
