"""The schedule: what an audit asks, and in which order, as it follows from the auditor's nonce.

The fingerprint's queries and the natural inputs stand in shuffled order. Some of either, drawn alike, are asked again
and again between them, and of some a near-duplicate is asked: whoever answers cannot tell by order or repetition which
is which. The first few are natural, so that an endpoint that changes its model at the first odd input has already shown
the one before; without natural inputs the first is one that is repeated. The last two repeat earlier ones, and vouch
for all between.

An audit that may stop early takes several looks. Each asks so many of the fingerprint's queries in the bundle's own
order, with its share of the rest, shuffled, and ends with two repetitions that vouch for it. All in all the same is
asked, and the same number of times.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np

from metav_audit.bundle.questions import Questions
from metav_audit.task import Inputs

REPEATED = 4
"""Inputs that are asked again and again."""

TIMES = 5
"""Times that each of them is asked. Two models behind a balancer that throws dice go unseen if each of the repeated
inputs meets one model alone: in one of 2 ** (4 * (5 - 1)) = 65,536 audits."""

OPENING = 4
"""Natural inputs that are asked before any other; a near-duplicate of each is asked later."""

PAIRS = 8
"""Inputs of which a near-duplicate is asked."""

CLOSING = 2
"""Repetitions that are asked when all else was answered."""

LEAST_REQUESTS = 12
"""Requests over which a schedule is spread at least, those that close it aside."""

LEAST_LOOK = 8
"""Queries before the first look."""

MOST_LOOKS = 4
"""Looks that an audit takes at most: each ends with ``CLOSING`` of the repetitions."""


def usual_looks(queries: int) -> tuple[int, ...]:
    """Return the queries asked before each look: an eighth of all, a quarter, a half, and all; eight at least.

    >>> usual_looks(64), usual_looks(32), usual_looks(8), usual_looks(3)
    ((8, 16, 32, 64), (8, 16, 32), (8,), (3,))
    """
    early = {max(LEAST_LOOK, -(-queries // part)) for part in (8, 4, 2)}
    return (*sorted(each for each in early if each < queries), queries)


def check_looks(looks: tuple[int, ...], queries: int) -> None:
    """Raise ValueError unless looks are rising and few, and the last is at all queries."""
    rising = all(one < other for one, other in pairwise((0, *looks)))
    if not 0 < len(looks) <= MOST_LOOKS or not rising or looks[-1] != queries:
        raise ValueError(f"looks after {looks} of {queries} queries: they rise, {MOST_LOOKS} at most, to all of them")


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is asked, place by place.

    Attributes:
        queries: N, the fingerprint's queries.
        natural: K, the natural inputs; 0 where the bundle has none, and then there are no twins.
        numbers: what is asked at each place: a query, 0 .. N - 1; a natural input, N .. N + K - 1; or the twin of
            either, N + K further on.
        ends: the place behind the last one of each look, in their order; an audit that cannot stop early has one.
        places: the places of each number, in their order.

    >>> schedule = Schedule.of(32, 16, "00" * 16)
    >>> len(schedule.numbers), sorted(set(schedule.numbers))[:48] == list(range(48))
    (72, True)
    """

    queries: int
    natural: int
    numbers: tuple[int, ...]
    ends: tuple[int, ...]
    places: Mapping[int, tuple[int, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        places: dict[int, list[int]] = {}
        for place, number in enumerate(self.numbers):
            places.setdefault(number, []).append(place)
        object.__setattr__(self, "places", {number: tuple(each) for number, each in places.items()})

    @classmethod
    def of(cls, queries: int, natural: int, nonce: str, looks: tuple[int, ...] = ()) -> Schedule:
        """Return the schedule that follows from a nonce; ``looks`` are queries asked before each, none for one audit.

        Raises:
            ValueError: see ``check_looks``.
        """
        if looks:
            check_looks(looks, queries)
            return _in_looks(queries, natural, nonce, looks)
        return _schedule(queries, natural, nonce)

    @classmethod
    def for_bundle(cls, bundle: Questions, nonce: str, looks: tuple[int, ...] = ()) -> Schedule:
        """Return the schedule of an audit with this bundle; see ``of``."""
        return cls.of(len(bundle.inputs), 0 if bundle.natural is None else len(bundle.natural.inputs), nonce, looks)

    @property
    def first(self) -> tuple[int, ...]:
        """The place at which each query, and then each natural input, is asked first."""
        return tuple(self.places[number][0] for number in range(self.queries + self.natural))

    @property
    def repeats(self) -> tuple[tuple[int, ...], ...]:
        """The places of each input that is asked several times, in their order."""
        return tuple(each for each in self.places.values() if len(each) > 1)

    @property
    def pairs(self) -> tuple[tuple[int, int, int], ...]:
        """The number of each input that has a twin, the place at which it is asked first, and the twin's place."""
        base = self.queries + self.natural
        twins = ((number - base, each[0]) for number, each in self.places.items() if number >= base)
        return tuple((number, self.places[number][0], place) for number, place in twins)

    @property
    def closings(self) -> tuple[int, ...]:
        """Of each look the place from which on nothing is asked before all else of it and of those before was."""
        return tuple(end - min(CLOSING, len(self.numbers) - self.queries - self.natural) for end in self.ends)

    @property
    def closing(self) -> int:
        """The place from which on nothing is asked before all else was."""
        return self.closings[-1]

    def look_of(self, place: int) -> int:
        """Return at which look, from 0, a place is asked."""
        return bisect_right(self.ends, place)

    def is_shareable(self, place: int) -> bool:
        """Say whether another audit's answer may stand at a place: the first of its input, and none that vouches."""
        return place == self.places[self.numbers[place]][0] and not self.is_closing(place)

    def is_closing(self, place: int) -> bool:
        """Say whether a place vouches for those before it."""
        return place >= self.closings[self.look_of(place)]


def asked_inputs(bundle: Questions) -> Inputs:
    """Return what a schedule's numbers stand for, float32 of shape (numbers, *domain.shape)."""
    if bundle.natural is None:
        return bundle.inputs
    return np.concatenate([bundle.inputs, bundle.natural.inputs, bundle.natural.twins])


def planned_places(bundle: Questions) -> int:
    """Return how many places every schedule of a bundle has."""
    return len(Schedule.for_bundle(bundle, "").numbers)


@lru_cache(maxsize=64)
def _schedule(queries: int, natural: int, nonce: str) -> Schedule:
    base = queries + natural
    repeated = _drawn(nonce, "repeat", range(base))[:REPEATED]
    opening = _drawn(nonce, "opening", range(queries, base))[:OPENING] or repeated[:1]
    others = _drawn(nonce, "pair", (number for number in range(base) if number not in opening))
    twins = [base + number for number in [*opening, *others][:PAIRS]] if natural else []
    again = [number for _ in range(TIMES - 1) for number in repeated]
    between = [*(number for number in range(base) if number not in opening), *twins, *again[CLOSING:]]
    order = _drawn(nonce, "place", range(len(between)))
    numbers = (*opening, *(between[place] for place in order), *again[:CLOSING])
    return Schedule(queries, natural, numbers, (len(numbers),))


@lru_cache(maxsize=64)
def _in_looks(queries: int, natural: int, nonce: str, looks: tuple[int, ...]) -> Schedule:
    """Return a schedule of several looks: half of the natural inputs come before the first one.

    What is repeated, and opens the audit, is drawn alike from what the first look asks.
    """
    base, count = queries + natural, len(looks)
    least = min(natural, max(OPENING, -(-natural // 2)))
    shown = [least + (natural - least) * look // max(count - 1, 1) for look in range(count - 1)] + [natural]
    own = [range(start, end) for start, end in pairwise((0, *looks))]
    plain = [range(queries + start, queries + end) for start, end in pairwise((0, *shown))]
    repeated = _drawn(nonce, "repeat", (*own[0], *plain[0]))[:REPEATED]
    opening = _drawn(nonce, "opening", plain[0])[:OPENING] or repeated[:1]
    others = _drawn(nonce, "pair", (number for number in range(base) if number not in opening))
    twins = [*opening, *others][:PAIRS] if natural else []
    again = [number for _ in range(TIMES - 1) for number in repeated]
    closing, left = again[: CLOSING * count], again[CLOSING * count :]
    numbers: list[int] = []
    ends = []
    for look in range(count):
        members = [number for number in (*own[look], *plain[look]) if number not in opening]
        near = [base + number for number in twins if number in own[look] or number in plain[look]]
        between = [*members, *near, *left[look::count]]
        order = _drawn(nonce, f"place {look}", range(len(between)))
        numbers += [*(opening if not look else ()), *(between[place] for place in order)]
        numbers += closing[CLOSING * look : CLOSING * (look + 1)]
        ends.append(len(numbers))
    return Schedule(queries, natural, tuple(numbers), tuple(ends))


def _drawn(nonce: str, what: str, items: Iterable[int]) -> list[int]:
    """Return items in an order that follows from the nonce, and that anyone can recompute."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{nonce} {what} {item}".encode()).digest())
