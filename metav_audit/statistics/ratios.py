"""The weight of evidence: a score becomes a likelihood ratio, bounded by what the calibration can bear.

One score a lineage of each side goes in; a table goes out that gives the common logarithm of the likelihood ratio (LR)
for any score: how much more probable such a score is if the suspect is derived than if it is independent.

- The score is read as log-odds, ln(s / (1 - s)), and a logistic regression turns them into a line. Both sides weigh the
  same in it, whatever their numbers, so its log-odds are the log LR and no prior is left in them. Its slope is held
  back by half its square (ridge): scores that separate perfectly, the usual case, would otherwise make it infinite.
- What lies beyond the empirical lower and upper bounds (ELUB: Vergeer, van Es, de Jongh, Alberink and Stoel, Science
  and Justice 56, 2016) would be extrapolation, and is cut there.

Both are what ``lir`` does (Netherlands Forensic Institute), in numpy, so that an auditor can fit them through any
view; tests hold the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metav_audit.errors import BundleError


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRules:
    """What a table of likelihood ratios hangs on beside the scores.

    Attributes:
        edge: scores count as no nearer to 0 or 1 than these log-odds (1e-4): few models saturate, and they must not
            tilt the line for all. Chosen with the rest of the calibrator by its Cllr on left-out calibration lineages
            of five digits targets; see docs/weight.md.
        step: the grid on which the bounds are sought, in units of log10 LR.
        extreme: log10 LRs beyond this count as this when the bounds are sought.
    """

    edge: float = math.log(1e4)
    step: float = 0.01
    extreme: float = 9.0


USUAL_RATIOS = RatioRules()

DIGITS = 6
"""Decimals of a log10 LR: beyond, machines may differ."""

_ENOUGH = 1e-12
"""The fit stops when its step is this small."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WeightTable:
    """A score's log10 LR: points joined by straight lines over the score's log-odds, level beyond the outermost.

    Attributes:
        log_odds: of the score, increasing, within the edge but for rounding.
        log10_lr: the log10 LR at each, never decreasing, within the bounds.
        low: the lower bound of a log10 LR, at most 0.
        high: the upper bound of a log10 LR, at least 0.
    """

    log_odds: tuple[float, ...]
    log10_lr: tuple[float, ...]
    low: float
    high: float

    def __post_init__(self) -> None:
        values = [*self.log_odds, *self.log10_lr, self.low, self.high]
        rising = np.diff(self.log_odds) > 0
        if not (
            len(self.log_odds) == len(self.log10_lr) > 0
            and np.isfinite(values).all()
            and rising.all()
            and (np.diff(self.log10_lr) >= 0).all()
            and self.low <= min(0.0, *self.log10_lr)
            and self.high >= max(0.0, *self.log10_lr)
        ):
            raise BundleError("the table of likelihood ratios does not rise, or leaves its bounds: it is damaged")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` gave.

        Raises:
            BundleError: it is no such table.
            TypeError, ValueError, KeyError: a field is missing or no number.
        """
        points = {name: tuple(map(float, fields[name])) for name in ("log_odds", "log10_lr")}
        return cls(**points, low=float(fields["low"]), high=float(fields["high"]))

    def weigh(self, scores: ArrayLike) -> Scores:
        """Return the log10 LR of scores in [0, 1], in their shape."""
        # The table is level beyond its outermost points, whatever edge it was made with.
        return np.round(np.interp(log_odds(scores, math.inf), self.log_odds, self.log10_lr), DIGITS) + 0.0

    def difference(self, other: WeightTable) -> float:
        """Return the largest difference of the two in a log10 LR or a bound."""
        # Both are straight between points, so that they lie furthest apart at a point of either.
        places = np.union1d(self.log_odds, other.log_odds)
        mine, theirs = (np.interp(places, one.log_odds, one.log10_lr) for one in (self, other))
        bounds = (abs(self.low - other.low), abs(self.high - other.high))
        return float(max(np.abs(mine - theirs).max(), *bounds))


NEUTRAL = WeightTable((0.0,), (0.0,), 0.0, 0.0)
"""The table that gives every score the LR 1."""


def log_odds(scores: ArrayLike, edge: float = USUAL_RATIOS.edge) -> Scores:
    """Return ln(s / (1 - s)) of scores in [0, 1], held within ``±edge``; what crowds at 0 or 1 comes apart."""
    held = np.asarray(scores, dtype=np.float64)
    with np.errstate(divide="ignore"):
        odds: Scores = np.log(held) - np.log1p(-held)
    return np.clip(odds, -edge, edge)


def fit_weight(derived: Scores, independent: Scores, rules: RatioRules = USUAL_RATIOS) -> WeightTable:
    """Fit the table on one score a lineage of each side; without a lineage on either, every LR is 1.

    1. Log-odds of the scores.
    2. A line through them by logistic regression; a score that would speak against its own side tells nothing.
    3. The bounds that these lineages can bear.

    >>> table = fit_weight(np.array([0.9, 0.95, 0.99]), np.array([0.05, 0.1, 0.2]))
    >>> table.low, table.high  # Three lineages a side bear no more.
    (-0.47, 0.47)
    >>> table.weigh([0.01, 0.99]).tolist()
    [-0.47, 0.47]
    """
    if not (len(derived) and len(independent)):
        return NEUTRAL
    # 1.
    sides = log_odds(derived, rules.edge), log_odds(independent, rules.edge)
    # 2.
    slope, intercept = fit_line(*sides)
    # 3.
    derived_lrs, independent_lrs = (slope * side + intercept for side in sides)
    bounds = find_bounds(derived_lrs, independent_lrs, rules)
    return tabulate(slope, intercept, bounds, rules.edge)


def fit_line(derived: Scores, independent: Scores) -> tuple[float, float]:
    """Return slope and intercept of log10 LR over log-odds, by penalised logistic regression with balanced sides.

    Minimised by Newton's method with halved steps: the sum of the weighted log losses, each side's weights adding up to
    half the number of lineages, and half the squared slope (in natural logarithms). A falling line is (0, 0).
    """
    x = np.concatenate([derived, independent])
    y = np.repeat([1.0, 0.0], [len(derived), len(independent)])
    weights = np.where(y == 1, len(x) / (2 * len(derived)), len(x) / (2 * len(independent)))
    inputs = np.stack([x, np.ones_like(x)])
    ridge = np.array([1.0, 0.0])

    def loss(line: Scores) -> float:
        return float(weights @ np.logaddexp(0.0, (1 - 2 * y) * (line @ inputs)) + (ridge * line**2).sum() / 2)

    line = np.zeros(2)
    for _ in range(100):
        share = 0.5 * (1.0 + np.tanh(line @ inputs / 2))
        gradient = inputs @ (weights * (share - y)) + ridge * line
        curvature = (inputs * (weights * share * (1 - share))) @ inputs.T + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        while loss(line - step) > loss(line) and np.abs(step).max() > _ENOUGH:
            step = step / 2
        line = line - step
        if np.abs(step).max() <= _ENOUGH:
            break
    slope, intercept = (line / math.log(10)).tolist()
    return (slope, intercept) if slope > 0 else (0.0, 0.0)


def find_bounds(derived: Scores, independent: Scores, rules: RatioRules = USUAL_RATIOS) -> tuple[float, float]:
    """Return the empirical lower and upper bound of log10 LRs (ELUB), at most 0 and at least 0.

    Whoever acts on "LR above t" can do better or worse than one who knows nothing. With one misleading LR more on each
    side than was seen, the bounds are the last thresholds, going out from LR 1, up to which the system is no worse.

    Args:
        derived: the log10 LRs of derived lineages.
        independent: the log10 LRs of independent lineages.
        rules: the grid, and what is extreme.
    """
    step, extreme = rules.step, rules.extreme
    for_derived, for_independent = (np.sort(np.clip(side, -extreme, extreme)) for side in (derived, independent))
    lowest = max(min(for_derived[0], for_independent[0]), -math.log10(len(derived) + 1))
    highest = min(max(for_derived[-1], for_independent[-1]), math.log10(len(independent) + 1))
    steps = np.arange(min(0, math.floor(lowest / step)), max(0, math.floor(highest / step) + 1) + 1)
    thresholds = steps * step
    hits, alarms = (
        len(side) - np.searchsorted(side, thresholds, side="right") for side in (for_derived, for_independent)
    )
    cost = 1 - hits / (len(derived) + 1) + 10**thresholds * (alarms + 1) / (len(independent) + 1)
    worse = cost > np.minimum(1.0, 10**thresholds)
    low = max([thresholds[0], *(thresholds[worse & (steps <= 0)] + step)])
    high = min([thresholds[-1], *(thresholds[worse & (steps >= 0)] - step)])
    return float(min(low, 0.0)), float(max(high, 0.0))


def tabulate(slope: float, intercept: float, bounds: tuple[float, float], edge: float) -> WeightTable:
    """Return the table of a line that rises, or of (0, 0), between two bounds: its ends, and where it meets them."""
    low, high = (round(bound, DIGITS) + 0.0 for bound in bounds)
    meets = [(bound - intercept) / slope for bound in (low, high)] if slope > 0 else []
    places = np.unique(np.round(np.clip([-edge, *meets, edge], -edge, edge), DIGITS))
    heights = np.round(np.clip(slope * places + intercept, low, high), DIGITS) + 0.0
    return WeightTable(tuple(places.tolist()), tuple(heights.tolist()), low, high)


def weigh_held_out(derived: Scores, independent: Scores, rules: RatioRules = USUAL_RATIOS) -> tuple[Scores, Scores]:
    """Return the log10 LRs of derived and independent lineages, each by the table of all others."""
    mine = [fit_weight(np.delete(derived, at), independent, rules).weigh(derived[at]) for at in range(len(derived))]
    theirs = [
        fit_weight(derived, np.delete(independent, at), rules).weigh(independent[at]) for at in range(len(independent))
    ]
    return np.array(mine), np.array(theirs)


_SCALE = ((1, "weak"), (2, "moderate"), (3, "moderately strong"), (4, "strong"), (6, "very strong"))


def verbal(log10_lr: float) -> str:
    """Say an LR in the words of ENFSI's guideline for evaluative reporting (2015); on a border, the weaker word.

    >>> verbal(1.5), verbal(-0.3)
    ('moderate support for derivation', 'weak support for independence')
    """
    if log10_lr == 0:
        return "no support for either proposition"
    word = next((word for highest, word in _SCALE if abs(log10_lr) <= highest), "extremely strong")
    return f"{word} support for {'derivation' if log10_lr > 0 else 'independence'}"


def ratio_text(log10_lr: float) -> str:
    """Write a likelihood ratio with two digits or in whole numbers; one below 1 as a fraction, 1/35.

    >>> ratio_text(1.56), ratio_text(-1.5)
    ('36', '1/32')
    """
    size = 10 ** abs(log10_lr)
    text = f"{size:.1f}".removesuffix(".0") if size < 10 else f"{size:,.0f}"
    return f"1/{text}" if log10_lr < 0 and text != "1" else text
