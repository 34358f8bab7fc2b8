"""Whether requests were sent in the order that the auditor's nonce asks for, as far as the client's rules fix it.

An order that follows from the nonce is what keeps an endpoint from telling queries from what stands between them. The
client leaves it only where requests fail: then what was answered before is brought forward, and what failed gets a
second chance behind all else; and a later run asks what is still open. So the order is fixed up to the first trouble,
but for as many requests as may be under way side by side; and whatever happens, the very last place is asked last,
since it vouches for all before it. Answers of another audit stand at an input's first place alone.
"""

from __future__ import annotations

from metav_audit.bundle import Schedule
from metav_audit.errors import TranscriptError
from metav_audit.transcript import OK, Received, Records, Resumed, Sent, Shared, Unanswered


def check_order(records: Records, schedule: Schedule) -> str:
    """Hold the order of first requests against the schedule; return what was seen, in words.

    Raises:
        TranscriptError: a place was asked before others that come before it, the last one was not asked last, or a
            repetition was not asked at all.
    """
    order = _Order(schedule, records.transcript.endpoint.concurrency)
    for record in records.each:
        if isinstance(record, Sent):
            order.sent(record)
        elif isinstance(record, Received):
            order.received(record)
        elif isinstance(record, Shared):
            order.shared(record)
        elif isinstance(record, Unanswered | Resumed):
            order.troubled(record)
    return f"{order.sure} places were asked in the order of the nonce before the first trouble, {order.words} last"


class _Order:
    """Which places were asked or given up so far."""

    def __init__(self, schedule: Schedule, concurrency: int | None) -> None:
        self.sure, self.words = 0, "nothing"
        self._schedule, self._places, self._most = schedule, len(schedule.numbers), concurrency
        self._settled: set[int] = set()
        self._lowest, self._largest = 0, 1
        self._heard, self._trouble = False, False

    def sent(self, record: Sent) -> None:
        fresh = [place for place in record.queries if place not in self._settled]
        self._largest = max(self._largest, len(record.queries))
        if fresh:
            self._check(record, fresh)
        self._settle(record.queries)

    def received(self, record: Received) -> None:
        self._trouble = self._trouble or record.outcome != OK
        self._heard = self._heard or record.answers is not None

    def shared(self, record: Shared) -> None:
        for place in record.queries:
            if not self._schedule.is_shareable(place):
                raise TranscriptError(
                    f"place {place} repeats another, and its answer is taken over: what vouches for an audit is asked"
                )
            self._check_looks(
                f"the record of answers from record {record.source.record} of another audit", record, place
            )
        self._settle(record.queries)

    def troubled(self, record: Unanswered | Resumed) -> None:
        self._trouble = True
        if isinstance(record, Unanswered):
            self._settle(record.queries)

    def _check(self, record: Sent, fresh: list[int]) -> None:
        if not self._trouble:
            # Before the first answer one batch is asked at a time, afterwards as many as the limits allow.
            beside = (self._most or self._places) - 1 if self._heard else 0
            skipped = [place for place in range(self._lowest, min(fresh)) if place not in self._settled]
            if len(skipped) > beside * self._largest:
                raise TranscriptError(
                    f"request {record.request} asked place {min(fresh)} before place {skipped[0]}: the order is not "
                    f"that of the nonce"
                )
            self.sure += len(fresh)
        for place in fresh:
            self._check_looks(f"request {record.request}", record, place)

    def _check_looks(self, who: str, record: Sent | Shared, place: int) -> None:
        """See that nothing of a look is asked before the looks before it, and its last place behind all others."""
        look = self._schedule.look_of(place)
        last = self._schedule.ends[look] - 1
        start = self._schedule.ends[look - 1] if look else 0
        early = set(range(self._lowest, last if place == last else start)) - self._settled - set(record.queries)
        if early:
            which, why = ("last place", "vouches for what came then") if place == last else ("next look", "is clear")
            raise TranscriptError(f"{who} asked the {which} while place {min(early)} had not been asked: nothing {why}")
        if place == last:
            self.words = f"place {last}"

    def _settle(self, places: tuple[int, ...]) -> None:
        self._settled.update(places)
        while self._lowest in self._settled:
            self._lowest += 1
