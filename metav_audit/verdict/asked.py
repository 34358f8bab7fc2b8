"""What was asked, by what it was: a transcript's exchanges beside the schedule that they follow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from metav_audit.bundle import Questions, Schedule
from metav_audit.errors import TranscriptError
from metav_audit.task import Answer, BoolArray
from metav_audit.transcript import Exchange, Transcript


@dataclass(frozen=True, slots=True)
class LooksTaken:
    """At which look an audit ended that might stop early.

    Attributes:
        after: queries asked before each look.
        taken: looks taken, from 1.
        rate: the promised rate of false matches, which holds over all looks together.
    """

    after: tuple[int, ...]
    taken: int
    rate: float

    @property
    def early(self) -> bool:
        """Whether it ended before the last look."""
        return self.taken < len(self.after)

    @property
    def sentence(self) -> str:
        """Say at which look it ended, and what is promised over all of them."""
        of = f"{self.after[self.taken - 1]} of {self.after[-1]} queries"
        return (
            f"it might stop early, and ended at look {self.taken} of {len(self.after)}, after {of}; the promised rate "
            f"of false matches, {self.rate:.3g}, is that of all looks together"
        )

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {**asdict(self), "after": list(self.after)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(**{**fields, "after": tuple(fields["after"])})


@dataclass(frozen=True, slots=True)
class Asked:
    """An audit's exchanges by what they asked.

    Attributes:
        schedule: what was asked at which place.
        exchanges: one a place.
        look: at which look, from 0, they are looked at; an audit that cannot stop early has one.
    """

    schedule: Schedule
    exchanges: tuple[Exchange, ...]
    look: int = 0

    @classmethod
    def of(cls, bundle: Questions, transcript: Transcript) -> Self:
        """Put a transcript beside its schedule.

        Raises:
            TranscriptError: it was recorded with another bundle.
        """
        try:
            schedule = Schedule.for_bundle(bundle, transcript.nonce, transcript.looks)
        except ValueError as error:
            raise TranscriptError(f"the transcript was recorded with another bundle: {error}") from None
        if transcript.bundle_sha256 != bundle.sha256 or len(transcript.exchanges) != len(schedule.numbers):
            raise TranscriptError(
                "the transcript was recorded with another bundle: give the bundle whose hash it names"
            )
        begun = [each.query for each in transcript.exchanges if each.attempts or each.answer is not None]
        return cls(schedule, transcript.exchanges, schedule.look_of(max(begun, default=0)))

    def at(self, look: int) -> Self:
        """Return what stood there at an earlier look, from 0."""
        end = self.schedule.ends[look]
        later = tuple(Exchange(each.query, None, None, ()) for each in self.exchanges[end:])
        return replace(self, exchanges=(*self.exchanges[:end], *later), look=look)

    @property
    def wanted(self) -> BoolArray:
        """Which queries are asked up to the look, bool of shape (N,)."""
        return self._wanted(0, self.schedule.queries)

    @property
    def wanted_natural(self) -> BoolArray:
        """Which natural inputs are, bool of shape (K,)."""
        return self._wanted(self.schedule.queries, self.schedule.natural)

    @property
    def closing(self) -> tuple[Exchange, ...]:
        """The exchanges that vouch for all up to the look."""
        return self.exchanges[self.schedule.closings[self.look] : self.schedule.ends[self.look]]

    @property
    def taken_over(self) -> str:
        """Say how much was asked in other audits of the run and not here; nothing where all was asked here."""
        others = [each.source.bundle_sha256[:12] for each in self.exchanges if each.source is not None]
        if not others:
            return ""
        return f"; {len(others)} answers taken over from the audit with bundle {', '.join(sorted(set(others)))}"

    @property
    def sha256(self) -> str:
        """A hash of every answer up to the look, in hexadecimal."""
        told = [[each.query, list(each.answer.scores)] for each in self.exchanges if each.answer is not None]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _wanted(self, start: int, count: int) -> BoolArray:
        places = self.schedule.first[start : start + count]
        return np.array([place < self.schedule.ends[self.look] for place in places], dtype=np.bool_)

    @property
    def queries(self) -> tuple[Exchange, ...]:
        """The fingerprint's, by its own numbers; what was asked several times counts as it was answered first."""
        return tuple(map(self._first, range(self.schedule.queries)))

    @property
    def natural(self) -> tuple[Exchange, ...]:
        """The natural inputs', by their own numbers."""
        start = self.schedule.queries
        return tuple(replace(self._first(start + at), query=at) for at in range(self.schedule.natural))

    @property
    def answers(self) -> list[Answer | None]:
        """One entry a query of the fingerprint, None where it is unanswered."""
        return [exchange.answer for exchange in self.queries]

    @property
    def repeats(self) -> list[list[Exchange]]:
        """The answered exchanges of each input that was asked several times, in the order of their answers."""
        return [self._answered(places) for places in self.schedule.repeats]

    @property
    def pairs(self) -> list[tuple[int, Exchange, Exchange]]:
        """Each input, by number, that was answered and its near-duplicate, too; with both exchanges."""
        held = ((number, self._first(number), self.exchanges[twin]) for number, _, twin in self.schedule.pairs)
        return [each for each in held if each[1].answer is not None and each[2].answer is not None]

    def _first(self, number: int) -> Exchange:
        places = self.schedule.places[number]
        answered = self._answered(places)
        return replace(answered[0] if answered else self.exchanges[places[0]], query=number)

    def _answered(self, places: Iterable[int]) -> list[Exchange]:
        found = [self.exchanges[place] for place in places]
        return sorted((each for each in found if each.answer is not None), key=rank_of)


def rank_of(exchange: Exchange) -> int:
    """Return how many answers had come before this one, which there is."""
    return exchange.query if exchange.rank is None else exchange.rank
