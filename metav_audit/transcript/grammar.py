"""The grammar of a transcript: which record may follow which. Audit, replay and verification take records by it alone.

====================  ================================================================================================
a record              may stand only
====================  ================================================================================================
any                   no earlier than the one before it, and not behind ``finished``
``header``            first, and there alone
``sent``, step 0,     where each of its queries is open and not under way. It closes whatever earlier exchange of the
attempt 1             same queries was at rest
``sent``              where fewer requests are under way than the endpoint's limits allow
``sent``, attempt + 1 where the same request ended in a way that may pass, with the same address and bytes
``sent``, step + 1    where the step before it was answered, and the answers were not there yet
``received``          once, for a request that is under way; with answers only where the outcome is ``ok``, and then
                      one for each query that it asked
``shared``            where each of its queries is open and not under way; with one answer for each, of another audit
``unanswered``        where each of its queries is open and not under way
``resumed``           behind anything but the header, of the same endpoint; what was under way is lost
``finished``          where nothing is under way, and each query was answered or given up
====================  ================================================================================================

Requests are numbered from 1, without a gap. A query is open until it is answered or given up, and then never again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metav_audit.transcript.parts import moment
from metav_audit.transcript.records import OK, PASSING, Finished, Header, Received, Record, Resumed, Sent, Unanswered
from metav_audit.transcript.shared import Shared


class OutOfTurnError(ValueError):
    """A record stands where the grammar does not allow it."""


@dataclass(slots=True)
class _Flow:
    """An exchange that has begun: the request sent last, and how it ended, or None while it is under way."""

    sent: Sent
    received: Received | None = None


class Grammar:
    """The state of a transcript between two records; a record that may not stand there is refused, and changes nothing.

    Attributes:
        requests: requests sent so far.
        at: when the last record was written; None before the first.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.at: datetime | None = None
        self._head: Header | None = None
        self._previous: Record | None = None
        self._done: set[int] = set()
        self._under_way: dict[int, _Flow] = {}
        self._flows: dict[int, _Flow] = {}
        self._most: int | None = None

    def take(self, record: Record) -> None:
        """Take one record.

        Raises:
            OutOfTurnError: it may not stand there.
        """
        if isinstance(record, Header) != (self._head is None):
            raise OutOfTurnError("its kind: a header comes first, and once")
        if isinstance(self._previous, Finished):
            raise OutOfTurnError("its kind: the audit was finished")
        at = moment(record.at)
        if self.at is not None and at < self.at:
            raise OutOfTurnError(f"its time: {record.at} is earlier than the record before it")
        take: Callable[[Any], None] = getattr(self, f"_{record.kind}")
        take(record)
        self._previous, self.at = record, at

    def no_earlier(self, time: str) -> str:
        """Return a time, or that of the last record where it is later: a clock that was set back stands still."""
        earlier = self._previous is not None and self.at is not None and moment(time) < self.at
        return self._previous.at if self._previous is not None and earlier else time

    def _header(self, header: Header) -> None:
        self._head = header
        self._most = header.endpoint.concurrency

    def _sent(self, sent: Sent) -> None:
        if sent.request != self.requests + 1:
            raise OutOfTurnError(f"its number: request {sent.request} comes after request {self.requests}")
        if self._most is not None and len(self._under_way) >= self._most:
            raise OutOfTurnError(f"its kind: {len(self._under_way)} requests are under way, {self._most} may")
        self._in_range(sent.queries)
        if (sent.step, sent.attempt) == (0, 1):
            self._check_open(sent.queries)
        else:
            self._check_going_on(sent)
        flow = _Flow(sent)
        self._close(sent.queries)
        self._flows |= dict.fromkeys(sent.queries, flow)
        self._under_way[sent.request] = flow
        self.requests += 1

    def _check_going_on(self, sent: Sent) -> None:
        """See that a request goes on with an exchange of just these queries, by another attempt or the next step."""
        flow = self._flows.get(sent.queries[0])
        if flow is None or flow.sent.queries != sent.queries or flow.received is None:
            raise OutOfTurnError(f"its step {sent.step} and attempt {sent.attempt}: no such exchange is at rest")
        last, received = flow.sent, flow.received
        again = (sent.step, sent.attempt) == (last.step, last.attempt + 1) and received.outcome in PASSING
        onward = (sent.step, sent.attempt) == (last.step + 1, 1) and received.outcome == OK
        if not (again or onward):
            raise OutOfTurnError(
                f"its step {sent.step} and attempt {sent.attempt}: request {last.request} of the same exchange was "
                f"step {last.step}, attempt {last.attempt}, and ended as {received.outcome!r}"
            )
        same = (sent.method, sent.url, sent.request_sha256) == (last.method, last.url, last.request_sha256)
        if again and not same:
            raise OutOfTurnError(f"its request: another attempt sends what request {last.request} sent")

    def _received(self, received: Received) -> None:
        flow = self._under_way.get(received.request)
        if flow is None:
            raise OutOfTurnError(f"its number: request {received.request} is not under way")
        queries = flow.sent.queries
        if received.answers is not None:
            if received.outcome != OK:
                raise OutOfTurnError(f"its answers: its outcome is {received.outcome!r}")
            if len(received.answers) != len(queries):
                raise OutOfTurnError(f"its answers: {len(received.answers)} of them to {len(queries)} inputs")
            self._done.update(queries)
        del self._under_way[received.request]
        if received.answers is None and received.outcome in (OK, *PASSING):
            flow.received = received
        else:
            self._close(queries)

    def _shared(self, shared: Shared) -> None:
        assert self._head is not None
        if not len(shared.queries) == len(shared.answers) == len(shared.source.queries):
            raise OutOfTurnError(f"its answers: {len(shared.answers)} of them to {len(shared.queries)} inputs")
        if shared.source.nonce == self._head.nonce:
            raise OutOfTurnError("its source: this very audit")
        if not shared.source.fresh(shared.at):
            raise OutOfTurnError("its source's time: it is later than the record, or more than a day earlier")
        self._settle(shared.queries)

    def _unanswered(self, unanswered: Unanswered) -> None:
        self._settle(unanswered.queries)

    def _settle(self, queries: Sequence[int]) -> None:
        """End what is open without a request."""
        self._in_range(queries)
        self._check_open(queries)
        self._close(queries)
        self._done.update(queries)

    def _resumed(self, resumed: Resumed) -> None:
        assert self._head is not None
        if isinstance(self._previous, Header):
            raise OutOfTurnError("its kind: nothing was begun that could go on")
        if resumed.endpoint.lasting() != self._head.endpoint.lasting():
            raise OutOfTurnError("its endpoint: another than the header's")
        self._most = resumed.endpoint.concurrency
        self._under_way.clear()
        self._flows.clear()

    def _finished(self, _: Finished) -> None:
        assert self._head is not None
        if self._under_way:
            raise OutOfTurnError(f"its kind: request {min(self._under_way)} is under way")
        if len(self._done) < self._head.queries:
            raise OutOfTurnError("its kind: a query was neither answered nor given up")

    def _in_range(self, queries: Sequence[int]) -> None:
        assert self._head is not None
        if not queries:
            raise OutOfTurnError("the queries it is about: none")
        if any(not 0 <= query < self._head.queries for query in queries):
            raise OutOfTurnError("the queries it is about")

    def _check_open(self, queries: Iterable[int]) -> None:
        """See that what was answered or given up is not asked again, nor what is being asked."""
        for query in queries:
            flow = self._flows.get(query)
            if query in self._done or (flow is not None and flow.received is None):
                how = "was answered or given up" if query in self._done else "is under way"
                raise OutOfTurnError(f"what it is about: query {query} {how}")

    def _close(self, queries: Iterable[int]) -> None:
        """End the exchanges that ask any of these: nothing goes on with them."""
        for query in queries:
            flow = self._flows.pop(query, None)
            for other in flow.sent.queries if flow is not None else ():
                self._flows.pop(other, None)
