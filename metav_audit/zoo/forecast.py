"""How long a zoo will take, told after two models of each kind; and the largest share of a preset in a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.plan import Plan

TRIED = 2
"""Models of each kind that are timed before anything is told."""

LONG = 60.0
"""Seconds from which on a forecast is worth a line."""

SHARES = tuple(round(share / 20, 2) for share in range(20, 1, -1))
"""Shares of a preset that a budget chooses among, the largest first."""

SIBLINGS = "siblings"

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> float:
    """Return the seconds of a budget such as "90s", "45m", "2h" or "1.5d".

    Raises:
        ConfigurationError: it is none.

    >>> seconds_of("1.5h")
    5400.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text.strip())
    if found is None or float(found[1]) <= 0:
        raise ConfigurationError(f"{text!r} is no budget of time: write a number and s, m, h or d, as 45m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def in_words(seconds: float) -> str:
    """Return a span of time as people say it.

    >>> in_words(59), in_words(600), in_words(9000)
    ('59 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def part_of(plan: Plan) -> str:
    """Return the part of a zoo that a plan belongs to."""
    return "independents" if plan.parent is None and plan.from_scratch else plan.family


def kind_of(plan: Plan) -> str:
    """Return what plans have in common that take about as long."""
    return f"{plan.recipe} {plan.architecture}"


def tried_first(plans: Sequence[Plan]) -> list[Plan]:
    """Return plans in an order in which ``TRIED`` of each kind come first; otherwise as they stood."""
    counts: dict[str, int] = {}
    ahead = []
    for plan in plans:
        counts[kind_of(plan)] = counts.get(kind_of(plan), 0) + 1
        ahead.append(counts[kind_of(plan)] > TRIED)
    return [plan for late in (False, True) for plan, after in zip(plans, ahead, strict=True) if after is late]


@dataclass(slots=True)
class Stopwatch:
    """What models took, by kind, and what others will.

    Attributes:
        workers: models that are trained at once.
        taken: seconds by kind.
    """

    workers: int
    taken: dict[str, list[float]] = field(default_factory=dict)

    def note(self, kind: str, seconds: float) -> None:
        """Write down what one model took."""
        self.taken.setdefault(kind, []).append(seconds)

    def knows(self, plans: Iterable[Plan]) -> bool:
        """Say whether enough of each kind have been timed, of those that need no parent of their own."""
        wanted: dict[str, int] = {}
        for plan in plans:
            if plan.depth == 0:
                wanted[kind_of(plan)] = min(wanted.get(kind_of(plan), 0) + 1, TRIED)
        return all(len(self.taken.get(kind, ())) >= count for kind, count in wanted.items())

    def parts(self, plans: Iterable[Plan], siblings: int) -> dict[str, float]:
        """Return by part the seconds that plans and siblings will take."""
        told: dict[str, float] = {}
        for plan in plans:
            told[part_of(plan)] = told.get(part_of(plan), 0.0) + self._usual(kind_of(plan)) / self.workers
        if siblings:
            told[SIBLINGS] = siblings * self._usual(SIBLINGS) / self.workers
        return told

    def _usual(self, kind: str) -> float:
        """Return what one of a kind takes; of a kind that was not timed, what its recipe takes, or the mean."""
        recipe = kind.partition(" ")[0]
        alike = self.taken.get(kind) or [
            each for name, some in self.taken.items() if name.partition(" ")[0] == recipe for each in some
        ]
        found = alike or [each for some in self.taken.values() for each in some] or [0.0]
        return sum(found) / len(found)


def line_of(parts: dict[str, float]) -> str:
    """Say in one line what a zoo will take, in total and by part, the longest first."""
    ordered = sorted(parts.items(), key=lambda each: -each[1])
    told = ", ".join(f"{name} {in_words(seconds)}" for name, seconds in ordered)
    return f"the zoo will take about {in_words(sum(parts.values()))} more: {told}"


def largest_share(
    budget: float, plans_at: Callable[[float], Sequence[Plan]], cost: Callable[[Sequence[Plan]], float]
) -> float:
    """Return the largest share of a preset whose zoo fits a budget.

    Args:
        budget: seconds.
        plans_at: a share's plans.
        cost: the seconds that plans take which are not yet carried out, siblings included.

    Raises:
        DataError: not even the smallest fits.
    """
    for share in SHARES:
        if cost(plans_at(share)) <= budget:
            return share
    least = cost(plans_at(SHARES[-1]))
    raise DataError(
        f"no zoo fits {in_words(budget)}: the smallest that bears the promised rates takes about {in_words(least)}. "
        "Give that much, promise less below [rates], or ask for fewer siblings"
    )
