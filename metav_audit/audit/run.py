"""One run over what is open of an audit: look by look, batch by batch, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from metav_audit.audit.asking import Asker, Queries, Surroundings
from metav_audit.audit.endpoint.credentials.base import RenewalError
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.journal import Journal
from metav_audit.audit.order import (
    Failure,
    answered_before,
    begun_after,
    bring_forward,
    closing_batches,
    open_after,
    open_batches,
    open_before,
    shows_anything,
)
from metav_audit.audit.pace.budget import BudgetSpentError, QueryBudget, Reserve
from metav_audit.audit.pace.pacing import GivenUpError
from metav_audit.audit.pace.retries import RefusedError, StuckError
from metav_audit.audit.shared import Given
from metav_audit.bundle import CLOSING, Questions, Schedule
from metav_audit.errors import AnswerError, RemoteError
from metav_audit.transcript import Unanswered
from metav_audit.verdict import first_look

PATIENCE = 2
"""After so many failed batches in a row what was answered before is asked: is it the input, or the endpoint?"""

MOST_FAILURES = 8
"""So many failed batches in a row end a run, whatever they asked."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit has come.

    Attributes:
        endpoint: the endpoint's name.
        queries: what is to be asked: the fingerprint, and what stands between its queries.
        answered: how much of it was answered.
        requests: requests sent, retries and earlier runs included.
        retries: requests of this run that asked something again.
        note: a sentence on what just happened, or empty.
        final: whether the note is worth reading after the audit.
    """

    endpoint: str
    queries: int
    answered: int
    requests: int
    retries: int = 0
    note: str = ""
    final: bool = False


ProgressCallback = Callable[[Progress], None]


class Run:
    """One run over the open batches of one audit.

    Args:
        bundle: whose inputs are sent.
        endpoint: who is asked.
        journal: where everything stands.
        world: clock, time, sleep, randomness.
        progress: told of every step.
        is_clear: says at a look whether the answers so far bear a verdict.
        given: what the endpoint answered in other audits of the run.
    """

    def __init__(
        self,
        bundle: Questions,
        endpoint: Endpoint,
        journal: Journal,
        world: Surroundings,
        progress: ProgressCallback | None,
        is_clear: Callable[[], bool],
        given: Given,
    ) -> None:
        so_far = journal.transcript
        self.schedule = Schedule.for_bundle(bundle, so_far.nonce, so_far.looks)
        self._is_clear, self._given = is_clear, given
        self._bundle, self._endpoint, self._journal, self._progress = bundle, endpoint, journal, progress
        self._queries = len(so_far.exchanges)
        self._done = {each.query for each in so_far.exchanges if each.answer is not None}
        self._waiting: deque[Queries] = deque()
        self._last: deque[Queries] = deque()
        # Failures since the last success. They count only once the endpoint is seen alive after them.
        self._failed: list[Failure] = []
        self._asked_again: set[int] = set()
        self._heard = False
        ceiling, limits = endpoint.budget(self._queries, len(self.schedule.ends)), endpoint.limits
        # Whatever happens before, what closes the audit can still be paid for: it vouches for what came.
        self._kept = Reserve(CLOSING * endpoint.adapter.steps, min(limits.wall_s / 4, CLOSING * limits.total_s))
        self.budget = QueryBudget(ceiling, limits.wall_s, world.clock, so_far.requests, self._kept)

    async def ask_all(self, asker: Asker) -> None:
        """Ask look by look what is open, until one is clear or all are taken."""
        self.say()
        for look in range(len(self.schedule.ends)):
            await self._ask_look(asker, look)
            if await self._ends_at(look):
                return
        if len(self._done) < self._queries:
            self.say(f"{self._queries - len(self._done)} of {self._queries} inputs stay unanswered", final=True)

    async def _ends_at(self, look: int) -> bool:
        """Give up what lies behind an early look that bears a verdict, and say so."""
        looks, so_far = len(self.schedule.ends), self._journal.transcript
        left = open_after(so_far, self.schedule, look)
        if look + 1 == looks or not left or begun_after(so_far, self.schedule, look):
            return False
        if not await asyncio.to_thread(self._is_clear):
            return False
        self._give_up(left, f"look {look + 1} of {looks} was clear")
        self.say(f"look {look + 1} of {looks} was clear: {len(left)} inputs were not asked", final=True)
        return True

    async def _ask_look(self, asker: Asker, look: int) -> None:
        """Ask one batch at a time until one is answered, then the rest side by side, and at last what closes the look.

        So an endpoint whose answers do not fit costs one request, two where it takes batches, and one that is down few.
        """
        asked, size = set(self._done), self._endpoint.batch_of(self._queries)
        self._take_over(look)
        so_far = self._journal.transcript
        self._waiting = deque(open_batches(so_far, self.schedule, size, look))
        self._last = deque(closing_batches(so_far, self.schedule, look))
        heard = self._heard
        if not heard:  # Of an earlier run: does the endpoint still answer what it did?
            bring_forward(self._waiting, self._last, self.schedule, asked)
        while self._waiting and not self._heard:
            await self._settle(asker, self._waiting.popleft())
        if self._heard and not heard:
            self.say(f"{first_look(self._journal.transcript, self._bundle.task.output)}; {self._outlook(asker)}")
        await self._ask_side_by_side(asker)
        # What failed last gets its second chance, too.
        self._sort_out()
        await self._ask_side_by_side(asker)
        self.budget.release()
        # Nothing vouches for what came last if this is not answered: it is worth a second try.
        for _ in range(2):
            self._waiting, self._last = self._last, deque()
            while self._waiting:
                await self._settle(asker, self._waiting.popleft())
            self._sort_out()
            self._last.extend(self._waiting)
        self._asked_again.update(range(self.schedule.ends[look]))
        self._sort_out()
        self.budget.keep(self._kept)

    def _take_over(self, look: int) -> None:
        """Answer what the endpoint answered in other audits of the run; repetitions are asked all the same."""
        places, taken = open_before(self._journal.transcript, self.schedule, look), 0
        for record in self._given.records(self._bundle, self.schedule, places, self._journal.now()):
            self._journal.append(record)
            self._done.update(record.queries)
            taken += len(record.queries)
        if taken:
            self.say(f"{taken} inputs were answered for another bundle and are not asked again", final=True)

    def _outlook(self, asker: Asker) -> str:
        batches = len(self._waiting)
        seconds = batches * asker.quickest_s / min(self._endpoint.limits.concurrency, max(batches, 1))
        return f"an answer took {1000 * asker.quickest_s:.3g} ms, so about {max(seconds, 1):.0f} s to go"

    def say(self, note: str = "", *, final: bool = False) -> None:
        """Tell how far the audit has come."""
        if self._progress is not None:
            name, spent, again = self._endpoint.name, self.budget.spent, self.budget.retries
            self._progress(Progress(name, self._queries, len(self._done), spent, again, note, final))

    async def _ask_side_by_side(self, asker: Asker) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._endpoint.limits.concurrency, len(self._waiting))):
                    group.create_task(self._work(asker))
        except BaseExceptionGroup as several:
            # Any one of them ends the run; the others were cancelled for it.
            raise several.exceptions[0] from None

    async def _work(self, asker: Asker) -> None:
        while self._waiting:
            await self._settle(asker, self._waiting.popleft())

    async def _settle(self, asker: Asker, queries: Queries) -> None:
        """Ask one batch and take it as it comes."""
        try:
            await asker.ask(queries)
        except BudgetSpentError as spent:
            self._give_up(queries, str(spent))
        except (AnswerError, RemoteError) as error:
            self._fail(queries, error)
        else:
            self._done.update(queries)
            self._heard = self._heard or shows_anything(self._journal.transcript, self._endpoint.name)
            self._sort_out()
            self.say()

    def _fail(self, queries: Queries, error: AnswerError | RemoteError) -> None:
        where, alone = f"endpoint {self._endpoint.name}", len(queries) == 1
        # What no input can be to blame for, such as refused credentials, ends a run that has heard nothing.
        nothing_to_blame = not isinstance(error, AnswerError | StuckError | RefusedError)
        hopeless = (alone and not self._done) or (nothing_to_blame and not self._heard)
        if isinstance(error, GivenUpError | RenewalError) or hopeless:
            raise type(error)(f"{where}: {error}") from error
        self.say(str(error))
        if not self._done:
            # One input that the server does not take spoils its batch; its first alone says whether it answers at all.
            self._waiting.extendleft([queries[1:], queries[:1]])
            return
        known = answered_before(queries, self.schedule, self._done)
        self._failed.append(Failure(queries, str(error), isinstance(error, AnswerError | StuckError)))
        if len(self._failed) > (PATIENCE if known else MOST_FAILURES + self._endpoint.limits.concurrency):
            raise RemoteError(f"{where}: {len(self._failed)} requests in a row failed; the last: {error}") from error
        if len(self._failed) == PATIENCE:
            bring_forward(self._waiting, self._last, self.schedule, self._done)

    def _sort_out(self) -> None:
        """Put queries that may still be answered behind all others, once and one by one; give up the rest.

        One by one, since a single input that the server does not take spoils its whole batch.
        """
        failed, self._failed = self._failed, []
        for each in failed:
            again = each.passing or len(each.queries) > 1 or self.schedule.is_closing(each.queries[0])
            if again and not self._asked_again.issuperset(each.queries):
                self._asked_again.update(each.queries)
                self._waiting.extend((query,) for query in each.queries)
            else:
                self._give_up(each.queries, each.reason)

    def _give_up(self, queries: Queries, reason: str) -> None:
        self._journal.append(Unanswered(at=self._journal.now(), queries=queries, reason=reason))
