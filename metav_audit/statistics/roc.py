"""Figures of merit from the scores of derived and independent models; pure functions of float64 arrays.

Wherever two sides appear, ``derived`` and ``independent`` are scores of shape (P,) and (Q,), higher meaning derived.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def roc_auc(derived: Scores, independent: Scores) -> float:
    """Return the probability that a derived model scores above an independent one, ties counting half, in [0, 1].

    >>> roc_auc(np.array([0.9, 0.8]), np.array([0.1, 0.8]))
    0.875
    """
    above = (derived[:, None] > independent[None, :]).mean()
    ties = (derived[:, None] == independent[None, :]).mean()
    return float(above + ties / 2)


def tpr_at_fpr(derived: Scores, independent: Scores, limit: float) -> float:
    """Return the largest share of derived models above a threshold that at most ``limit`` of independents reach.

    >>> tpr_at_fpr(np.array([0.9, 0.8]), np.array([0.1, 0.85]), 0.01)
    0.5
    """
    allowed = int(np.floor(limit * len(independent) + 1e-9))
    threshold = np.sort(independent)[::-1][allowed] if allowed < len(independent) else -np.inf
    return float((derived > threshold).mean())


def aruc(derived: Scores, independent: Scores) -> float:
    """Return the area under min(robustness, uniqueness) over the threshold in [0, 1] (MetaV, section 5).

    Robustness R(t) is the share of derived models scoring at least t, uniqueness U(t) the share of independent ones
    scoring below t; both are step functions, so the area is exact.

    >>> round(aruc(np.array([0.9, 0.8]), np.array([0.1, 0.2])), 3)
    0.7
    """
    edges = np.unique(np.clip(np.concatenate([derived, independent, [0.0, 1.0]]), 0.0, 1.0))
    middles = (edges[1:] + edges[:-1]) / 2
    robustness = (derived[None, :] >= middles[:, None]).mean(axis=1)
    uniqueness = (independent[None, :] < middles[:, None]).mean(axis=1)
    return float((np.minimum(robustness, uniqueness) * np.diff(edges)).sum())


def mean_interval(values: Scores) -> tuple[float, float]:
    """Return the mean over targets and the half-width of its 95 % confidence interval by Student's t; NaN for one."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan")
    from scipy.stats import t

    return mean, float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
