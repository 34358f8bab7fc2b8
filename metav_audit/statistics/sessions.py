"""Is a session like those before it? Conformal over sessions: their spread is the null, never calls within one.

Hosts drift from session to session, other hardware, other batches, and hardly within one: samples of a single session
look alike and prove nothing. Sessions of one and the same model are exchangeable where they are drawn alike (Vovk,
Gammerman, Shafer 2005): the new one stands out the most among S + 1 with a chance of at most 1 / (S + 1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SLACK = 3.0
"""An answer is unseen if the nearest other session's lies further off than this many times the others' widest gap."""
STRAYS = 0.1
"""The share of the others, rounded up, whose gaps do not count: one session of another model must not hide a change."""


def distances(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far sessions' answers lie apart, of shape (S, S, N), infinite where nothing shown can be compared.

    Args:
        answers: of shape (S, N, D), one unit for all; NaN where nothing was shown.

    >>> distances(np.array([[[0.5, 0.5]], [[0.4, 0.6]]]))[0, 1].round(3)
    array([0.1])
    """
    apart = np.abs(answers[:, None] - answers[None])
    shared = ~np.isnan(apart)
    return np.where(shared.any(axis=-1), np.where(shared, apart, 0.0).max(axis=-1), np.inf)


def unseen_answers(answers: NDArray[np.float64], tolerance: float, slack: float = SLACK) -> NDArray[np.bool_]:
    """Say of each session which of its answers no other session gave, bool of shape (S, N); S is 3 at least.

    Each session is held against the others by one rule, so that p-values over sessions are exact.

    Args:
        answers: as in ``distances``; what a session did not answer is not unseen.
        tolerance: answers that lie no further apart are the same: rounding.
        slack: see ``SLACK``.

    >>> steady = np.zeros((5, 4, 1)); steady[4, 2] = 1.0
    >>> unseen_answers(steady, 1e-5).sum(axis=1).tolist()
    [0, 0, 0, 0, 1]
    """
    apart = distances(answers)
    count, given = len(answers), np.asarray((~np.isnan(answers)).any(axis=-1))
    apart[np.arange(count), np.arange(count)] = np.inf
    # What was not answered is nobody's neighbour.
    apart = np.where(given[:, None] & given[None], apart, np.inf)
    unseen = np.zeros(given.shape, dtype=np.bool_)
    for session in range(count):
        others = np.delete(np.arange(count), session)
        gaps = apart[np.ix_(others, others)].min(axis=0)
        told = np.sort(np.where(np.isfinite(gaps), gaps, 0.0), axis=0)
        widest = told[-1 - math.ceil(STRAYS * len(others))]
        unseen[session] = given[session] & (apart[session, others].min(axis=0) > tolerance + slack * widest)
    return unseen


def session_p_value(shares: NDArray[np.float64]) -> float:
    """Return how rare the last session is among all of them, from shares of unseen answers of shape (S + 1,).

    >>> session_p_value(np.array([0.0, 0.1, 0.0, 0.0, 0.5])), session_p_value(np.zeros(5))
    (0.2, 1.0)
    """
    return float((shares >= shares[-1]).mean())
