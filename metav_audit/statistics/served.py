"""Were these answers learned as they were served? The served one among alternatives drawn afterwards, drawn again.

An answer that a model was asked for at random, and alternatives drawn later from the same model for the same prompt,
are exchangeable for whoever never saw what was served: which of them was served is then any of them with equal chance,
prompt by prompt. So the p-value is exact for any suspect, the owner's own copies among them; what a continuation gains
may depend on everything but on which of them was served.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.statistics.coins import DRAWS, share_reached

_VARIED = 1e-9


def served_gains(shown: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each continuation adds to the statistic if it is the one that was served, of shape (n, 1 + m).

    A suspect speaks somewhat as the owner's model does. So what the owner's own numbers explain of the suspect's, by
    one slope over all continuations alike, is taken away; what is left is standardised within each prompt.

    Args:
        shown: the suspect's numbers, log-probabilities or likenesses, of shape (n, 1 + m); NaN where it shows none, and
            then the prompt says nothing.
        own: the owner's model's log-probabilities, of the same shape; any number where it has none.
    """
    rest, known = _centred(shown), _centred(own)
    silent = np.isnan(rest).any(axis=1, keepdims=True)
    rest, known = np.where(silent, 0.0, rest), np.where(silent, 0.0, known)
    size = float((known**2).sum())
    slope = float((rest * known).sum()) / size if size > _VARIED else 0.0
    rest = rest - slope * known
    spread = np.sqrt((rest**2).mean(axis=1, keepdims=True))
    return np.asarray(np.divide(rest, spread, out=np.zeros_like(rest), where=spread > _VARIED), dtype=np.float64)


def served_test(gains: NDArray[np.float64], seed: int, draws: int = DRAWS) -> tuple[float, float]:
    """Return the standardised statistic, and the share of draws in which it is no smaller, this one among them.

    Args:
        gains: of shape (n, 1 + m), see ``served_gains``; the served one's in the first column.
        seed: of the draws.
        draws: how often the served one is drawn anew.

    >>> served_test(np.eye(1, 20) + np.zeros((10, 1)), seed=1)[1] < 0.01
    True
    """
    gains = gains[(gains != 0).any(axis=1)]
    size = float(np.sqrt((gains**2).mean(axis=1).sum()))
    if size == 0.0:
        return 0.0, 1.0
    rows = np.arange(len(gains))

    def draw(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        served = rng.integers(0, gains.shape[1], (count, len(gains)))
        return np.asarray(gains[rows, served].sum(axis=1) / size)

    statistic = float(gains[:, 0].sum()) / size
    return statistic, share_reached(statistic, draw, seed, draws)


def _centred(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(numbers - numbers.mean(axis=1, keepdims=True))
