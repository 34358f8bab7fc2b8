"""The cost of likelihood ratios: Cllr, and what it would be with perfect calibration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def cllr(derived: NDArray[np.float64], independent: NDArray[np.float64]) -> float:
    """Return the cost of likelihood ratios (Brümmer and du Preez, 2006): 0 for perfect ones, 1 for a constant 1.

    Args:
        derived: log10 LRs of models where derivation holds, of shape (P,), infinite ones allowed.
        independent: log10 LRs of models where independence holds, of shape (Q,).
    """
    costs = (np.logaddexp(0.0, sign * math.log(10) * side).mean() for sign, side in ((-1, derived), (1, independent)))
    return float(sum(costs)) / (2 * math.log(2))


def cllr_min(derived: NDArray[np.float64], independent: NDArray[np.float64]) -> float:
    """Return the cost that is left once the LRs, or any scores, are calibrated on themselves: that of telling apart."""
    values, calibrated = pool_adjacent_violators(derived, independent)
    return cllr(*(calibrated[np.searchsorted(values, side)] for side in (derived, independent)))


def pool_adjacent_violators(
    derived: NDArray[np.float64], independent: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distinct values, rising, and the log10 LR of each that fits these very values best and never falls.

    Where values of one side alone lie below or above all of the other's, it is infinite.
    """
    values = np.unique(np.concatenate([derived, independent]))
    shares = [(side[:, None] == values).mean(axis=0) for side in (derived, independent)]
    blocks: list[tuple[float, float, int]] = []
    for own, other in zip(*(share.tolist() for share in shares), strict=True):
        block = (own, other, 1)
        # own / other has to rise from block to block.
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    with np.errstate(divide="ignore"):
        ratios = [np.log10(own) - np.log10(other) for own, other, _ in blocks]
    return values, np.repeat(ratios, [count for *_, count in blocks])
