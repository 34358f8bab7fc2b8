"""Auditing one endpoint: what is open is asked, in batches, and stands in the journal; running again goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from metav_audit.audit.asking import Asker, Queries, Surroundings
from metav_audit.audit.endpoint.credentials.base import RenewalError
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.grant import SCHEME
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.journal import Journal, Subject, check_resumable, draw_nonce, stamp
from metav_audit.audit.order import (
    Failure,
    answered_before,
    bring_forward,
    closing_batches,
    open_batches,
    shows_anything,
)
from metav_audit.audit.pace.budget import BudgetSpentError, QueryBudget, Reserve
from metav_audit.audit.pace.pacing import GivenUpError, Hosts, Sleep
from metav_audit.audit.pace.retries import RefusedError, StuckError
from metav_audit.audit.wire.local import LocalTransport
from metav_audit.audit.wire.tls import open_tls
from metav_audit.audit.wire.transport import Transport
from metav_audit.bundle import CLOSING, FingerprintBundle, Questions, Schedule, asked_inputs, planned_places
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError
from metav_audit.transcript import Campaign, Finished, Resumed, Transcript, Unanswered
from metav_audit.verdict import calibration_scores, check_table, first_look
from metav_audit.version import __version__

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


def audit_endpoint(  # noqa: PLR0913 - what the world gives is an argument
    bundle: Questions,
    endpoint: Endpoint,
    folder: Path,
    *,
    progress: ProgressCallback | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
    seed: int = 0,
    draw: Callable[[], str] = draw_nonce,
) -> Transcript:
    """Ask an endpoint everything in the schedule that is still open, and return the whole transcript.

    ``folder/transcript.jsonl`` grows while it works. Running again with the same folder asks only what is open; a
    finished audit is returned as it is. For use within an event loop there is ``audit_endpoint_async``.

    Args:
        bundle: whose inputs are sent: a fingerprint, or other questions.
        endpoint: who is asked.
        folder: where the transcript stands.
        progress: told of every step.
        transport: stands in for httpx's own, for tests.
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.
        seed: of the retries' jitter.
        draw: gives the nonce of a new audit.

    Raises:
        ConfigurationError: the budget is too small, a variable is not set (SecretError), or the folder is unfit.
        TranscriptError: the transcript in the folder is damaged.
        AnswerError: the first answer does not fit the task; one request was sent.
        RemoteError: the endpoint cannot be asked; running again goes on where this run stopped.
    """
    world = Surroundings(clock, now, sleep, random.Random(seed), Hosts(clock, sleep), draw)  # noqa: S311
    return asyncio.run(audit_endpoint_async(bundle, endpoint, folder, world, progress=progress, transport=transport))


async def audit_endpoint_async(
    bundle: Questions,
    endpoint: Endpoint,
    folder: Path,
    world: Surroundings,
    *,
    progress: ProgressCallback | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    campaign: Campaign | None = None,
) -> Transcript:
    """Do what ``audit_endpoint`` does, within a running event loop."""
    # 1. Whatever can be wrong on this side is found before anything is sent.
    secrets = check_ready(bundle, endpoint, folder)
    subject = subject_of(bundle, endpoint, campaign)
    # 2. The way out opens, and then the journal, new or where it stopped.
    async with _way_out(endpoint, secrets, transport) as way_out:
        with Journal(folder, subject, lambda: stamp(world.now()), secrets, world.draw) as journal:
            run = _Run(bundle, endpoint, journal, world, progress)
            if journal.transcript.finished:
                run.say("finished earlier, nothing was asked again", final=True)
                return journal.transcript
            if journal.begun:
                journal.append(Resumed(at=journal.now(), endpoint=endpoint.record()))
            # 3. What is open is asked.
            inputs = asked_inputs(bundle)[list(run.schedule.numbers)]
            asker = Asker(endpoint, inputs, journal, run.budget, secrets, way_out, world, run.say)
            await run.ask_all(asker)
            # 4. Nothing is left to ask.
            journal.append(Finished(at=journal.now()))
            return journal.transcript


def subject_of(bundle: Questions, endpoint: Endpoint, campaign: Campaign | None = None) -> Subject:
    """Say what a transcript of this audit is about."""
    software, places = f"metav-audit {__version__}", planned_places(bundle)
    commitment = None if bundle.commitment is None else hashlib.sha256(bundle.commitment).hexdigest()
    return Subject(bundle.sha256, endpoint.record(), software, places, endpoint.operator, commitment, campaign)


def check_ready(bundle: Questions, endpoint: Endpoint, folder: Path) -> Secrets:
    """Check all that can be checked without sending or writing anything; return the endpoint's secrets.

    Raises:
        SecretError: a variable is not set.
        ConfigurationError: the budget is too small, the credentials' library cannot be imported, or the folder holds
            the audit of something else.
        TranscriptError: the transcript in the folder is damaged.
        BundleError: the bundle's table of likelihood ratios does not follow from its calibration.
    """
    if isinstance(bundle, FingerprintBundle):
        check_table(bundle, calibration_scores(bundle).fit_weight())
    if endpoint.credentials is not None:
        endpoint.credentials.load()
    secrets = Secrets.read(endpoint.variables(os.environ), os.environ)
    if endpoint.way.files:
        open_tls("https", endpoint.way, endpoint.password(secrets))
    places = planned_places(bundle)
    needed = endpoint.requests_needed(places)
    if endpoint.budget(places) < needed:
        raise ConfigurationError(
            f"endpoints.{endpoint.name}.limits.requests = {endpoint.limits.requests} does not cover the {needed} "
            "requests that the fingerprint, and what is asked between its queries, need: raise it, or send larger "
            "batches (batch = ...)"
        )
    check_resumable(folder, subject_of(bundle, endpoint))
    return secrets


def _way_out(
    endpoint: Endpoint, secrets: Secrets, inner: httpx.AsyncBaseTransport | None
) -> Transport | LocalTransport:
    if endpoint.url.startswith(SCHEME):
        return LocalTransport(endpoint.url, endpoint.limits)
    return Transport(endpoint.url, endpoint.limits, inner, endpoint.way, endpoint.password(secrets))


class _Run:
    """One run over the open batches of one audit."""

    def __init__(
        self,
        bundle: Questions,
        endpoint: Endpoint,
        journal: Journal,
        world: Surroundings,
        progress: ProgressCallback | None,
    ) -> None:
        so_far = journal.transcript
        self.schedule = Schedule.for_bundle(bundle, so_far.nonce)
        self._bundle, self._endpoint, self._journal, self._progress = bundle, endpoint, journal, progress
        self._queries = len(so_far.exchanges)
        self._done = {each.query for each in so_far.exchanges if each.answer is not None}
        self._waiting = deque(open_batches(so_far, self.schedule, endpoint.batch_of(self._queries)))
        self._last = deque(closing_batches(so_far, self.schedule))
        bring_forward(self._waiting, self._last, self.schedule, self._done)
        # Failures since the last success. They count only once the endpoint is seen alive after them.
        self._failed: list[Failure] = []
        self._asked_again: set[int] = set()
        self._heard = False
        ceiling, limits = endpoint.budget(self._queries), endpoint.limits
        # Whatever happens before, what closes the audit can still be paid for: it vouches for what came.
        kept = Reserve(CLOSING * endpoint.adapter.steps, min(limits.wall_s / 4, CLOSING * limits.total_s))
        self.budget = QueryBudget(ceiling, limits.wall_s, world.clock, so_far.requests, kept)

    async def ask_all(self, asker: Asker) -> None:
        """Ask one batch at a time until one is answered, then the rest side by side, and at last what closes the audit.

        So an endpoint whose answers do not fit costs one request, two where it takes batches, and one that is down few.
        """
        self.say()
        while self._waiting and not self._heard:
            await self._settle(asker, self._waiting.popleft())
        if self._heard:
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
        self._asked_again.update(range(self._queries))
        self._sort_out()
        if len(self._done) < self._queries:
            self.say(f"{self._queries - len(self._done)} of {self._queries} inputs stay unanswered", final=True)

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
            again = each.passing or len(each.queries) > 1 or each.queries[0] >= self.schedule.closing
            if again and not self._asked_again.issuperset(each.queries):
                self._asked_again.update(each.queries)
                self._waiting.extend((query,) for query in each.queries)
            else:
                self._give_up(each.queries, each.reason)

    def _give_up(self, queries: Queries, reason: str) -> None:
        self._journal.append(Unanswered(at=self._journal.now(), queries=queries, reason=reason))
