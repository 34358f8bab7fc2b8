"""The schedule: what an audit asks, and in which order, as it follows from the auditor's nonce.

The fingerprint's queries and the natural inputs stand in shuffled order. Some of either, drawn alike, are asked again
and again between them, and of some a near-duplicate is asked: whoever answers cannot tell by order or repetition which
is which. The first few are natural, so that an endpoint that changes its model at the first odd input has already shown
the one before; without natural inputs the first is one that is repeated. The last two repeat earlier ones, and vouch
for all between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

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


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is asked, place by place.

    Attributes:
        queries: N, the fingerprint's queries.
        natural: K, the natural inputs; 0 where the bundle has none, and then there are no twins.
        numbers: what is asked at each place: a query, 0 .. N - 1; a natural input, N .. N + K - 1; or the twin of
            either, N + K further on.
        places: the places of each number, in their order.

    >>> schedule = Schedule.of(32, 16, "00" * 16)
    >>> len(schedule.numbers), sorted(set(schedule.numbers))[:48] == list(range(48))
    (72, True)
    """

    queries: int
    natural: int
    numbers: tuple[int, ...]
    places: Mapping[int, tuple[int, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        places: dict[int, list[int]] = {}
        for place, number in enumerate(self.numbers):
            places.setdefault(number, []).append(place)
        object.__setattr__(self, "places", {number: tuple(each) for number, each in places.items()})

    @classmethod
    def of(cls, queries: int, natural: int, nonce: str) -> Schedule:
        """Return the schedule that follows from a nonce."""
        return _schedule(queries, natural, nonce)

    @classmethod
    def for_bundle(cls, bundle: Questions, nonce: str) -> Schedule:
        """Return the schedule of an audit with this bundle."""
        return cls.of(len(bundle.inputs), 0 if bundle.natural is None else len(bundle.natural.inputs), nonce)

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
    def closing(self) -> int:
        """The place from which on nothing is asked before all else was."""
        return len(self.numbers) - min(CLOSING, len(self.numbers) - self.queries - self.natural)


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
    return Schedule(queries, natural, (*opening, *(between[place] for place in order), *again[:CLOSING]))


def _drawn(nonce: str, what: str, items: Iterable[int]) -> list[int]:
    """Return items in an order that follows from the nonce, and that anyone can recompute."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{nonce} {what} {item}".encode()).digest())
