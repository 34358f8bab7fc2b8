"""Auditing one endpoint: what is open is asked, in batches, and stands in the journal; running again goes on."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from metav_audit import __version__
from metav_audit.audit.asking import Asker, Queries, Surroundings
from metav_audit.audit.budget import BudgetSpentError, QueryBudget
from metav_audit.audit.endpoints import Endpoint
from metav_audit.audit.journal import Journal, Subject, check_resumable
from metav_audit.audit.local import SCHEME, LocalTransport, find_function
from metav_audit.audit.retries import Sleep
from metav_audit.audit.secrets import Secrets
from metav_audit.audit.transport import Transport
from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError
from metav_audit.transcript import Transcript

PATIENCE = 5
"""So many batches in a row may fail before an endpoint that has answered is given up for this run."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit has come.

    Attributes:
        endpoint: the endpoint's name.
        queries: queries in the fingerprint.
        answered: queries answered.
        requests: requests sent, retries and earlier runs included.
        note: a sentence on what just happened, or empty.
        final: whether the note is worth reading after the audit.
    """

    endpoint: str
    queries: int
    answered: int
    requests: int
    note: str = ""
    final: bool = False


ProgressCallback = Callable[[Progress], None]


def audit_endpoint(
    bundle: FingerprintBundle,
    endpoint: Endpoint,
    folder: Path,
    *,
    progress: ProgressCallback | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
    seed: int = 0,
) -> Transcript:
    """Ask an endpoint every query of the fingerprint that is still open, and return the whole transcript.

    ``folder/transcript.jsonl`` grows while it works. Running again with the same folder asks only what is open; a
    finished audit is returned as it is. For use within an event loop there is ``audit_endpoint_async``.

    Args:
        bundle: whose inputs are sent.
        endpoint: who is asked.
        folder: where the transcript stands.
        progress: told of every step.
        transport: stands in for httpx's own, for tests.
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.
        seed: of the retries' jitter.

    Raises:
        ConfigurationError: the budget is too small, a variable is not set (SecretError), or the folder is unfit.
        TranscriptError: the transcript in the folder is damaged.
        AnswerError: the first answer does not fit the task; one request was sent.
        RemoteError: the endpoint cannot be asked; running again goes on where this run stopped.
    """
    world = Surroundings(clock, now, sleep, random.Random(seed))  # noqa: S311
    return asyncio.run(audit_endpoint_async(bundle, endpoint, folder, world, progress=progress, transport=transport))


async def audit_endpoint_async(
    bundle: FingerprintBundle,
    endpoint: Endpoint,
    folder: Path,
    world: Surroundings,
    *,
    progress: ProgressCallback | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Transcript:
    """Do what ``audit_endpoint`` does, within a running event loop."""
    # 1. Whatever can be wrong on this side is found before anything is sent.
    secrets = check_ready(bundle, endpoint, folder)
    # 2. The journal opens, new or where it stopped.
    with Journal(folder, subject_of(bundle, endpoint), lambda: _stamp(world.now()), secrets.redact_all) as journal:
        run = _Run(bundle, endpoint, journal, world, progress)
        if journal.transcript.finished:
            run.say("finished earlier, nothing was asked again", final=True)
            return journal.transcript
        if journal.begun:
            journal.append("resumed", endpoint=endpoint.record().to_json())
        # 3. What is open is asked.
        async with _way_out(endpoint, transport) as way_out:
            await run.ask_all(Asker(endpoint, bundle.inputs, journal, run.budget, secrets, way_out, world, run.say))
        # 4. Nothing is left to ask.
        journal.append("finished")
        return journal.transcript


def subject_of(bundle: FingerprintBundle, endpoint: Endpoint) -> Subject:
    """Say what a transcript of this audit is about."""
    return Subject(bundle.sha256, endpoint.record(), f"metav-audit {__version__}", len(bundle.inputs))


def check_ready(bundle: FingerprintBundle, endpoint: Endpoint, folder: Path) -> Secrets:
    """Check all that can be checked without sending or writing anything; return the endpoint's secrets.

    Raises:
        SecretError: a variable is not set.
        ConfigurationError: the budget is too small, the local function cannot be imported, or the folder holds the
            audit of something else.
        TranscriptError: the transcript in the folder is damaged.
    """
    if endpoint.url.startswith(SCHEME):
        find_function(endpoint.url)
    signing = [] if endpoint.signer is None else endpoint.signer.templates(os.environ)
    secrets = Secrets.read([*endpoint.headers.values(), *signing], os.environ)
    needed = endpoint.requests_needed(len(bundle.inputs))
    if endpoint.budget(len(bundle.inputs)) < needed:
        raise ConfigurationError(
            f"endpoints.{endpoint.name}.limits.requests = {endpoint.limits.requests} does not cover the {needed} "
            "requests that the fingerprint needs: raise it, or send larger batches (batch = ...)"
        )
    check_resumable(folder, subject_of(bundle, endpoint))
    return secrets


def _way_out(endpoint: Endpoint, inner: httpx.AsyncBaseTransport | None) -> Transport | LocalTransport:
    if endpoint.url.startswith(SCHEME):
        return LocalTransport(find_function(endpoint.url), endpoint.limits)
    return Transport(endpoint.limits, inner)


class _Run:
    """One run over the open batches of one audit."""

    def __init__(
        self,
        bundle: FingerprintBundle,
        endpoint: Endpoint,
        journal: Journal,
        world: Surroundings,
        progress: ProgressCallback | None,
    ) -> None:
        so_far = journal.transcript
        self._endpoint, self._journal, self._progress = endpoint, journal, progress
        self._queries = len(bundle.inputs)
        self._answered = sum(answer is not None for answer in so_far.answers)
        self._waiting = deque(_batches(so_far, endpoint.batch))
        # Failures since the last success. They are final only once the endpoint is seen alive after them.
        self._failed: list[tuple[Queries, str]] = []
        self._heard = False
        ceiling = endpoint.budget(self._queries)
        self.budget = QueryBudget(ceiling, endpoint.limits.wall_s, world.clock, so_far.requests)

    async def ask_all(self, asker: Asker) -> None:
        """Ask one batch at a time until one is answered, then the rest side by side.

        So an endpoint whose answers do not fit costs one request, and one that is down costs few.
        """
        self.say()
        while self._waiting and not self._heard:
            await self._settle(asker, self._waiting.popleft())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._endpoint.limits.concurrency):
                    group.create_task(self._work(asker))
        except BaseExceptionGroup as several:
            # Any one of them ends the run; the others were cancelled for it.
            raise several.exceptions[0] from None
        self._give_up(self._failed)
        if self._answered < self._queries:
            self.say(f"{self._queries - self._answered} of {self._queries} queries stay unanswered", final=True)

    def say(self, note: str = "", *, final: bool = False) -> None:
        """Tell how far the audit has come."""
        if self._progress is not None:
            name, spent = self._endpoint.name, self.budget.spent
            self._progress(Progress(name, self._queries, self._answered, spent, note, final))

    async def _work(self, asker: Asker) -> None:
        while self._waiting:
            await self._settle(asker, self._waiting.popleft())

    async def _settle(self, asker: Asker, queries: Queries) -> None:
        """Ask one batch, and take it as it comes: answered, failed for good, or out of budget."""
        try:
            await asker.ask(queries)
        except BudgetSpentError as spent:
            self._give_up([(queries, str(spent))])
        except (AnswerError, RemoteError) as error:
            self._fail(queries, error)
        else:
            self._heard = True
            self._answered += len(queries)
            self._give_up(self._failed)
            self._failed = []
            self.say()

    def _fail(self, queries: Queries, error: AnswerError | RemoteError) -> None:
        self._failed.append((queries, str(error)))
        where = f"endpoint {self._endpoint.name}"
        if self._answered == 0:
            raise type(error)(f"{where}: {error}") from error
        if len(self._failed) >= PATIENCE:
            raise RemoteError(f"{where}: {len(self._failed)} batches in a row failed; the last: {error}") from error
        self.say(str(error))

    def _give_up(self, failures: Iterable[tuple[Queries, str]]) -> None:
        for queries, reason in failures:
            self._journal.append("unanswered", queries=list(queries), reason=reason)


def _batches(transcript: Transcript, size: int) -> list[Queries]:
    still_open = [each.query for each in transcript.exchanges if each.answer is None and each.reason is None]
    return [tuple(still_open[start : start + size]) for start in range(0, len(still_open), size)]


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
