"""The few statistics that reports and evaluations add to the verdict's own; pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

CONFIDENCE = 0.95


def clopper_pearson(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a binomial share (Clopper and Pearson, 1934).

    Args:
        hits: successes seen, 0 .. trials.
        trials: independent trials, at least 1.
        confidence: the interval's level, in (0, 1).

    No match among 20 controls leaves a false-positive rate of up to 17 % possible:

    >>> [round(bound, 3) for bound in clopper_pearson(0, 20)]
    [0.0, 0.168]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _bisect(lambda share: 1 - _at_most(hits - 1, trials, share) >= tail)
    high = 1.0 if hits == trials else _bisect(lambda share: _at_most(hits, trials, share) <= tail)
    return low, high


def most_by_chance(trials: int, rate: float, chance: float) -> int:
    """Return how many of ``trials`` may be hits before a rate of hits of at most ``rate`` is beyond belief.

    So many or more come about with a probability above ``chance``; one more does not.

    >>> most_by_chance(99, 0.05, 0.001), most_by_chance(99, 0.01, 0.001), most_by_chance(0, 0.05, 0.001)
    (13, 5, 0)
    """
    return next(hits for hits in range(trials + 1) if hits == trials or 1 - _at_most(hits, trials, rate) <= chance)


def conformal_tail(hits: int, trials: int, calibration: int, rate: float) -> float:
    """Return the probability that at least ``hits`` of ``trials`` get a conformal p-value of at most ``rate``.

    All of them, and the ``calibration`` scores that give the p-values, are exchangeable. Then the true share is
    Beta(a, n + 1 - a) distributed over calibrations, with a = floor(rate * (n + 1)), and the hits beta-binomially.

    Four matches among 20 independents, where 5 % were promised on 40 calibration scores, are hardly chance:

    >>> round(conformal_tail(4, 20, 40, 0.05), 3)
    0.038
    """
    extremes = math.floor(rate * (calibration + 1) + 1e-9)
    if extremes == 0 or hits == 0:
        return 1.0 if hits == 0 else 0.0
    others = calibration + 1 - extremes
    logs = (
        _log_choose(trials, k) + _log_beta(k + extremes, trials - k + others) - _log_beta(extremes, others)
        for k in range(hits, trials + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def tolerance_limit(calibration: int, rate: float, confidence: float = CONFIDENCE) -> float:
    """Return what one calibration's own rate of p-values of at most ``rate`` stays below, with this confidence.

    The promised rate is a mean over calibrations: one's own share is Beta(a, n + 1 - a) distributed, with a =
    floor(rate * (n + 1)), and its quantile is a one-sided bound of Clopper and Pearson (Vovk, ACML 2012).

    >>> round(tolerance_limit(40, 0.05), 3), round(tolerance_limit(200, 0.05), 3)
    (0.113, 0.077)
    """
    extremes = math.floor(rate * (calibration + 1) + 1e-9)
    return clopper_pearson(extremes - 1, calibration, 2 * confidence - 1)[1] if extremes else 0.0


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the false discovery rate (Benjamini and Hochberg, 1995), in the given order.

    Of those whose adjusted value is at most q, a share of at most q is expected to be false, where the p-values are
    independent or rise with one another, as conformal ones of one calibration do (Bates and others, 2023).

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5])
    [0.04, 0.05333333333333334, 0.05333333333333334, 0.5]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    adjusted, least = [0.0] * len(p_values), 1.0
    for place, at in enumerate(order):
        least = min(least, p_values[at] * len(p_values) / (len(p_values) - place))
        adjusted[at] = least
    return adjusted


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Correct p-values for their number (Holm, Scandinavian Journal of Statistics 6, 1979), whatever their dependence.

    Who rejects what is corrected to at most a level rejects a true hypothesis in at most that share of all such sets.

    Args:
        p_values: of as many hypotheses as were tested, each in [0, 1].

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03, 1.0])]
    [0.04, 0.09, 0.09, 1.0]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = highest
    return tuple(corrected)


def rare_boundary(ordered: Sequence[float], rate: float) -> float | None:
    """Return the score beyond which a conformal p-value is at most ``rate``.

    Args:
        ordered: calibration scores, the most extreme first.
        rate: the promised rate, in (0, 1).

    Returns:
        The score itself is not yet rare. None where so few scores can promise no such rate.
    """
    extremes = [beyond for beyond in range(len(ordered)) if (1 + beyond) / (len(ordered) + 1) <= rate]
    return ordered[extremes[-1]] if extremes else None


def _log_beta(first: float, other: float) -> float:
    return math.lgamma(first) + math.lgamma(other) - math.lgamma(first + other)


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def _at_most(hits: int, trials: int, share: float) -> float:
    """Return the probability of at most ``hits`` successes, each of probability ``share`` in (0, 1)."""
    yes, no = math.log(share), math.log1p(-share)
    logs = (
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * yes + (trials - k) * no
        for k in range(hits + 1)
    )
    return math.fsum(map(math.exp, logs))


def _bisect(reached: Callable[[float], bool]) -> float:
    """Return the smallest share in (0, 1) from which on ``reached`` holds."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
