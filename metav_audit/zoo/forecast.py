"""How long a zoo will take, told after two models of each kind; and the largest share of a preset in a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def effort_of(plan: Plan, rows: Mapping[str, int]) -> float:
    """Return how often a training looks at an input: epochs times inputs; of a recipe that trains nothing, 1.

    Args:
        plan: with its maker's habits.
        rows: inputs on each of the owner's sides, "train" and "heldout".
    """
    told = plan.settings
    if "epochs" not in told:
        return 1.0
    inputs = told.get("share", 1.0) * rows[plan.data] * (1 + told.get("blends", 0.0))
    return told["epochs"] * told.get("stop", 1.0) * inputs


@dataclass(slots=True)
class Stopwatch:
    """What models took, by kind, and what others will.

    A model takes as long as others of its kind for each time that it looks at an input: makers draw how many epochs
    they train, and on how much.

    Attributes:
        workers: models that are trained at once.
        rows: inputs on each of the owner's sides.
        taken: by kind, of each model its seconds and its effort.
    """

    workers: int
    rows: Mapping[str, int]
    taken: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def note(self, plan: Plan, seconds: float) -> None:
        """Write down what one model took."""
        self.taken.setdefault(kind_of(plan), []).append((seconds, effort_of(plan, self.rows)))

    def note_sibling(self, seconds: float) -> None:
        """Write down what one sibling took."""
        self.taken.setdefault(SIBLINGS, []).append((seconds, 1.0))

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
            took = effort_of(plan, self.rows) * self._pace(kind_of(plan)) / self.workers
            told[part_of(plan)] = told.get(part_of(plan), 0.0) + took
        if siblings:
            told[SIBLINGS] = siblings * self._pace(SIBLINGS) / self.workers
        return told

    def _pace(self, kind: str) -> float:
        """Return a kind's seconds an effort; of a kind that was not timed its recipe's, or that of all."""
        recipe = kind.partition(" ")[0]
        alike = self.taken.get(kind) or [
            each for name, some in self.taken.items() if name.partition(" ")[0] == recipe for each in some
        ]
        found = alike or [each for some in self.taken.values() for each in some]
        return sum(seconds for seconds, _ in found) / sum(effort for _, effort in found) if found else 0.0


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
