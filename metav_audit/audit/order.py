"""The order in which an audit asks what is open: batches of the schedule's places."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Set
from dataclasses import dataclass

from metav_audit.audit.asking import Queries
from metav_audit.bundle import Schedule
from metav_audit.errors import AnswerError
from metav_audit.transcript import Transcript

MOST_BLANK = 8
"""So many answers that show nothing, and none before that shows anything: the answer lies elsewhere."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A batch that was not answered; ``passing`` says whether asking once more may help."""

    queries: Queries
    reason: str
    passing: bool


def open_batches(transcript: Transcript, schedule: Schedule, size: int, look: int = 0) -> list[Queries]:
    """Divide a look's places that were neither answered nor given up, but for those that close it.

    What an earlier run asked in vain may be odd: it comes behind what was never asked.
    """
    places = (place for place in _open(transcript) if place < schedule.closings[look])
    return _divided(sorted(places, key=lambda place: bool(transcript.exchanges[place].attempts)), size)


def closing_batches(transcript: Transcript, schedule: Schedule, look: int = 0) -> list[Queries]:
    """Return the open places that close a look, one by one."""
    start, end = schedule.closings[look], schedule.ends[look]
    return _divided((place for place in _open(transcript) if start <= place < end), 1)


def begun_after(transcript: Transcript, schedule: Schedule, look: int) -> bool:
    """Say whether a place behind a look was ever asked."""
    return any(each.attempts for each in transcript.exchanges[schedule.ends[look] :])


def open_after(transcript: Transcript, schedule: Schedule, look: int) -> Queries:
    """Return the open places behind a look."""
    return tuple(place for place in _open(transcript) if place >= schedule.ends[look])


def open_before(transcript: Transcript, schedule: Schedule, look: int) -> Queries:
    """Return the open places up to the end of a look."""
    return tuple(place for place in _open(transcript) if place < schedule.ends[look])


def answered_before(queries: Queries, schedule: Schedule, done: Set[int]) -> bool:
    """Say whether each of these inputs was answered at some place of those that are done."""
    return all(not done.isdisjoint(schedule.places[schedule.numbers[query]]) for query in queries)


def bring_forward(waiting: deque[Queries], last: deque[Queries], schedule: Schedule, done: Set[int]) -> None:
    """Put first what was answered before and is to be asked again, if there is such, to tell input from endpoint.

    The very last stays where it is, since it vouches for all before it.
    """
    if not done:
        return
    for batch in (*waiting, *list(last)[:-1]):
        known = [query for query in batch if answered_before((query,), schedule, done)]
        if known:
            (waiting if batch in waiting else last).remove(batch)
            rest = tuple(query for query in batch if query != known[0])
            waiting.extendleft([rest] if rest else [])
            waiting.appendleft((known[0],))
            return


def _open(transcript: Transcript) -> Iterable[int]:
    return (each.query for each in transcript.exchanges if each.answer is None and each.reason is None)


def _divided(places: Iterable[int], size: int) -> list[Queries]:
    still_open = list(places)
    return [tuple(still_open[start : start + size]) for start in range(0, len(still_open), size)]


def shows_anything(transcript: Transcript, name: str) -> bool:
    """Say whether any answer so far shows anything; a few may show nothing, where an API leaves out what is unlikely.

    Raises:
        AnswerError: there are too many that do not, of the endpoint of this name.
    """
    answers = [each.answer for each in transcript.exchanges if each.answer is not None]
    if any(score is not None for answer in answers for score in answer.scores):
        return True
    if len(answers) >= MOST_BLANK:
        raise AnswerError(
            f"endpoint {name}: the first {len(answers)} answers show no class at all: check where the answer lies in "
            "the response, or lower the API's own threshold"
        )
    return False
