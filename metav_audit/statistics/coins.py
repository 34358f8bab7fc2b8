"""Were these answers learned with these coins? A statistic that is linear in the coins, and the coins drawn again.

Whoever never saw answers served with a set of keyed coins answers independently of them: with the coins thrown anew the
statistic has the distribution that it had. So the p-value is exact for any suspect, whatever is held against it; a
weight may depend on everything but the coins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
DRAWS = 9_999
_BATCH = 1_000
_EQUAL = 1e-9


def coin_gains(
    theirs: NDArray[np.float64], heads: NDArray[np.float64], tails: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what each coin adds to the statistic if it fell heads, of shape (n,).

    A share is that of the model's likeliest class in what its two likeliest have together. Where heads and tails lie
    further apart there is more to learn, so that weighs more.

    Args:
        theirs: the suspect's shares, in [0, 1]; 1 or 0 where it names a class alone, NaN where it shows neither.
        heads: the shares that would be served after heads.
        tails: those after tails.
    """
    gains = (heads - tails) * (theirs - (heads + tails) / 2)
    return np.where(np.isnan(theirs), 0.0, gains)


def coin_test(
    gains: NDArray[np.float64], coins: NDArray[np.float64], seed: int, draws: int = DRAWS
) -> tuple[float, float]:
    """Return the standardised statistic, and the share of draws in which it is no smaller, this one among them.

    Args:
        gains: of shape (n,), see ``coin_gains``.
        coins: 1.0 or -1.0, of shape (n,).
        seed: of the coins drawn again.
        draws: how often they are.

    >>> coin_test(np.full(10, 0.2), np.ones(10), seed=1)[1] < 0.01
    True
    """
    size = float(np.sqrt((gains**2).sum()))
    if size == 0.0:
        return 0.0, 1.0
    statistic = float(coins @ gains) / size

    def draw(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        thrown = rng.integers(0, 2, (count, len(gains)), dtype=np.int8) * 2.0 - 1.0
        return np.asarray(thrown @ gains / size)

    return statistic, share_reached(statistic, draw, seed, draws)


def share_reached(statistic: float, draw: Draw, seed: int, draws: int = DRAWS) -> float:
    """Return the share of draws from the null in which a statistic is no smaller, this one among them.

    Args:
        statistic: as it was found.
        draw: given a generator and a number, draws so many statistics from the null.
        seed: of the generator.
        draws: how many are drawn.
    """
    rng = np.random.default_rng(seed)
    reached = 0
    for start in range(0, draws, _BATCH):
        reached += int((draw(rng, min(_BATCH, draws - start)) >= statistic - _EQUAL).sum())
    return (1 + reached) / (draws + 1)
