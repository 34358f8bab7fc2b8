"""How well natural inputs are answered: as the target labels them, as its values go, or as outputs of its task look."""

from __future__ import annotations

from dataclasses import replace

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


def strangeness(
    own: Features, reference: FloatArray, models: FloatArray, space: OutputSpace, view: OutputView
) -> float:
    """Return how unlike answers are to those of the task's models: 1 or less where about as like as most are to others.

    Right labels with scores that no model gives may be answers to inputs in another range. Labels alone tell nothing.

    Args:
        own: the features of the answers, (K, D).
        reference: the target's, (K, D).
        models: those of the calibration's models, (M, K, D).
        space: what they are features of.
        view: through which they are seen.
    """
    if view.label_only or not own.answered.any():
        return 0.0
    some = models[:: 1 + len(models) // _ENOUGH]
    pool = np.concatenate([reference[None], some])[:, own.answered]
    # Answers without any decimal are no rounded ones, but too sure.
    seen = replace(view, decimals=view.decimals or None, noise=0.0).apply(
        Features(pool, np.ones(pool.shape, bool)), space
    )
    mine = Features(own.values[own.answered], own.mask[own.answered])
    # Probabilities tell what is too flat; their logarithms, which are features, what is too sure.
    found = _relative(seen, mine, _SLACK_NATS)
    return max(found, _relative(_shares(seen), _shares(mine), _SLACK)) if space.labelled else found


_USUAL, _MOST = 1.5, 0.75
"""Answers may lie so many times as far from the nearest model's as this share of models do, and a little further."""
_SLACK, _SLACK_NATS = 0.02, 0.1
_ENOUGH = 64
"""Models, or a little more, that answers are compared with."""


def _shares(some: Features) -> Features:
    """Return probabilities, 0 where none is shown."""
    return Features(np.where(some.mask, np.exp(some.values), 0), np.ones_like(some.mask))


def _relative(theirs: Features, mine: Features, slack: float) -> float:
    """Return how far answers (K, D) lie from the nearest of models' (M, K, D), in what is usual among these."""
    apart = np.array([_apart(theirs, Features(*each)) for each in zip(theirs.values, theirs.mask, strict=True)])
    np.fill_diagonal(apart, np.inf)
    return float(_apart(theirs, mine).min() / (_USUAL * np.quantile(apart.min(axis=1), _MOST) + slack))


def _apart(many: Features, one: Features) -> NDArray[np.float64]:
    """Return how far each of many models' answers lie from one's, on average of what both show, (M,)."""
    both = many.mask & one.mask
    apart = np.where(both, np.abs(many.values - one.values), 0).sum(axis=(-2, -1), dtype=np.float64)
    return np.asarray(apart / np.maximum(both.sum(axis=(-2, -1)), 1))
