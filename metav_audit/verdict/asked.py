"""What was asked, by what it was: a transcript's exchanges beside the schedule that they follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from metav_audit.bundle import Questions, Schedule
from metav_audit.errors import TranscriptError
from metav_audit.task import Answer
from metav_audit.transcript import Exchange, Transcript


@dataclass(frozen=True, slots=True)
class Asked:
    """An audit's exchanges by what they asked.

    Attributes:
        schedule: what was asked at which place.
        exchanges: one a place.
    """

    schedule: Schedule
    exchanges: tuple[Exchange, ...]

    @classmethod
    def of(cls, bundle: Questions, transcript: Transcript) -> Self:
        """Put a transcript beside its schedule.

        Raises:
            TranscriptError: it was recorded with another bundle.
        """
        schedule = Schedule.for_bundle(bundle, transcript.nonce)
        if transcript.bundle_sha256 != bundle.sha256 or len(transcript.exchanges) != len(schedule.numbers):
            raise TranscriptError(
                "the transcript was recorded with another bundle: give the bundle whose hash it names"
            )
        return cls(schedule, transcript.exchanges)

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
