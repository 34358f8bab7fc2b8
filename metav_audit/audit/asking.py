"""Asking one batch: the adapter's flow is driven, each request counted, journaled, sent, retried, journaled again."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from metav_audit.adapter import Flow, Outcome, Request, Response, Step, Wait, classify
from metav_audit.audit.endpoint.credentials.leases import Leases
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.journal import Journal, draw_nonce
from metav_audit.audit.pace.budget import BudgetSpentError, QueryBudget
from metav_audit.audit.pace.pacing import GivenUpError, Hosts, Sleep, Window, backoff
from metav_audit.audit.pace.retries import LONGEST_PAUSE_S, PassingError, StuckError, retrying
from metav_audit.audit.wire.faults import TransportError
from metav_audit.audit.wire.headers import headers_for, packed
from metav_audit.audit.wire.hints import announced_rest
from metav_audit.audit.wire.identity import explain, identify, words_of
from metav_audit.audit.wire.refusals import check_kept, no_response, refusal
from metav_audit.audit.wire.transport import WayOut
from metav_audit.errors import AnswerError, RemoteError
from metav_audit.task import Answer, Inputs
from metav_audit.transcript import Received, Sent

_MAX_DATE = 64

Queries = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class About:
    """What a request asks, by places in the schedule; and which step of the adapter's flow it is."""

    queries: Queries
    step: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an audit takes from the world around it.

    Attributes:
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.
        rng: the source of the retries' jitter.
        hosts: the pace of each host; audits that run side by side share it.
        draw: gives a new audit's nonce.
    """

    clock: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Sleep
    rng: random.Random
    hosts: Hosts
    draw: Callable[[], str] = draw_nonce


@dataclass(frozen=True, slots=True)
class _Got:
    """A response that is not in the journal yet.

    Attributes:
        serial: the request's number.
        response: what came back, without the endpoint's secrets.
        sha256: of the body as it came.
        kept_sha256: of the body as it is kept.
        elapsed_s: seconds from sending to the last byte.
    """

    serial: int
    response: Response
    sha256: str
    kept_sha256: str
    elapsed_s: float


class _StaleError(RemoteError):
    """What was sent has ended, and other credentials are at hand: the same is to be asked anew."""


class Asker:
    """Asks batches of one endpoint; several may be under way at once.

    Args:
        endpoint: who is asked.
        inputs: what is asked at each place of the schedule, of shape (places, *domain.shape).
        journal: where everything is written first.
        budget: what may still be sent.
        secrets: what the headers' variables hold.
        transport: the way out.
        world: clock, time, sleep, randomness.
        say: told in a few words of every pause.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        inputs: Inputs,
        journal: Journal,
        budget: QueryBudget,
        secrets: Secrets,
        transport: WayOut,
        world: Surroundings,
        say: Callable[[str], None],
    ) -> None:
        self._endpoint, self._inputs = endpoint, inputs
        self._host = world.hosts.of(endpoint.url)
        self._host.allow(endpoint.limits.per_second)
        self._window = Window(endpoint.limits.concurrency, self._host)
        self._journal, self._budget = journal, budget
        self._secrets, self._transport, self._world, self._say = secrets, transport, world, say
        self._leases = Leases(endpoint.credentials, secrets, world.now)

    @property
    def quickest_s(self) -> float:
        """Seconds that the quickest answer so far took; infinite before the first."""
        return self._window.quickest_s

    async def ask(self, queries: Queries) -> None:
        """Ask until the answers to ``queries`` stand in the journal.

        Raises:
            BudgetSpentError: nothing more may be sent.
            AnswerError: an answer does not fit the task, or the adapter misbehaves.
            RemoteError: the endpoint refuses, or does not answer after all attempts.
            ConfigurationError: there are no credentials on this machine.
        """
        try:
            await self._ask(queries)
        except BudgetSpentError:
            raise
        except PassingError as fault:
            raise StuckError(self._worded(fault.told)) from None
        except (AnswerError, RemoteError) as error:
            raise type(error)(self._worded(str(error))) from None

    async def _ask(self, queries: Queries) -> None:
        """Ask, and ask anew where credentials ended meanwhile: as often as a request may be sent at most."""
        for _ in range(self._endpoint.limits.attempts):
            try:
                return await self._drive(Flow(self._endpoint.adapter, self._inputs[list(queries)]), About(queries))
            except _StaleError as error:
                stale = error
                self._say("the credentials had ended and were renewed; asking again")
        raise StuckError(str(stale))

    async def _drive(self, flow: Flow, about: About) -> None:
        step, number = flow.advance(None), 0
        while not isinstance(step, list):
            if isinstance(step, Wait):
                await self._pause(step.seconds)
                step = flow.advance(None)
            else:
                step, number = await self._exchange(flow, step, replace(about, step=number)), number + 1

    async def _exchange(self, flow: Flow, request: Request, about: About) -> Step:
        """Send one request, let the flow read the response, and journal what it made of it."""
        got = await self._send_until_ok(request, about)
        try:
            check_kept(got.response)
            step = flow.advance(got.response)
        except AnswerError as error:
            said = words_of(got.response)
            told = self._worded(f"the endpoint says {said!r}: {error}" if said else str(error))
            await self._received(got, "unusable", error=told)
            raise AnswerError(told) from error
        await self._received(got, Outcome.OK.value, answers=tuple(step) if isinstance(step, list) else None)
        return step

    async def _send_until_ok(self, request: Request, about: About) -> _Got:
        # The first attempt nearly always succeeds, and then needs no policy.
        try:
            return await self._send(request, about, attempt=1)
        except PassingError as fault:
            earlier, answers = fault, self._host.answers
        policy = retrying(
            self._endpoint.limits.attempts,
            lambda: self._budget.seconds_left,
            self._world.sleep,
            self._world.rng,
            lambda fault, pause: self._say(f"{self._worded(str(fault))}; asking again in {pause:.1f} s"),
        )
        async for attempt in policy:
            with attempt:
                number = attempt.retry_state.attempt_number
                if number == 1:
                    raise earlier
                try:
                    return await self._send(request, about, number)
                except PassingError as fault:
                    fault.tries = number
                    if fault.repeats(earlier, others_answered=self._host.answers > answers):
                        raise StuckError(f"{fault}, and the same again: {fault.advice}") from None
                    earlier, answers = fault, self._host.answers
                    raise
        raise AssertionError("tenacity ends by returning or raising")

    async def _send(self, request: Request, about: About, attempt: int) -> _Got:
        """Wait for a place and a turn, send, journal a refusal. What is returned is not in the journal yet."""
        async with self._window:
            await self._host.turn(self._budget.seconds_left)
            self._budget.check_time()
            lease = await self._leases.current(self._renewal_s)
            wire = packed(request, self._endpoint)
            headers = headers_for(self._endpoint, self._secrets, wire, self._world.now(), lease)
            self._budget.reserve(again=attempt > 1)
            serial = self._budget.spent
            digest = hashlib.sha256(request.content).hexdigest()
            # On disk before it leaves, so that it counts.
            await self._journal.record(
                Sent(
                    request=serial,
                    queries=about.queries,
                    step=about.step,
                    attempt=attempt,
                    method=request.method,
                    url=request.url,
                    request_sha256=digest,
                    body=self._journal.keep(request.content, digest),
                    at=self._journal.now(),
                )
            )
            begun = self._world.clock()
            try:
                raw: Response | TransportError = await self._transport.send(wire, headers, self._budget.seconds_left)
            except TransportError as fault:
                raw = fault
            elapsed_s = max(0.0, self._world.clock() - begun)
        if isinstance(raw, TransportError):
            at, kind, took = self._journal.now(), raw.kind.value, _seconds(elapsed_s)
            await self._journal.record(Received(at=at, request=serial, outcome=kind, elapsed_s=took, error=str(raw)))
            raise self._protested(begun, no_response(self._endpoint, raw))
        # From here on nothing knows what an echoed secret was; only the hash is of the body as it came.
        sha256, clean = hashlib.sha256(raw.content).hexdigest(), self._secrets.redact_response(raw)
        kept = sha256 if clean.content == raw.content else hashlib.sha256(clean.content).hexdigest()
        got = _Got(serial, clean, sha256, kept, _seconds(elapsed_s))
        outcome = classify(self._endpoint.adapter, got.response)
        if outcome is not Outcome.OK:
            await self._received(got, outcome.value, error=explain(got.response))
            error = self._protested(begun, refusal(self._endpoint, outcome, got.response, self._world.now()))
            if outcome is Outcome.AUTH and await self._leases.replaces(lease, self._renewal_s):
                raise _StaleError(str(error))
            raise error
        self._leases.accepted(lease)
        self._host.answered()
        self._host.rest(min(LONGEST_PAUSE_S, announced_rest(got.response, self._world.now())))
        self._window.good(elapsed_s)
        return got

    @property
    def _renewal_s(self) -> float:
        """Seconds that credentials may take."""
        return min(self._endpoint.limits.total_s, self._budget.seconds_left)

    def _protested(self, begun: float, error: RemoteError) -> RemoteError:
        """Slow down after a refusal, and say what to raise: GivenUpError once there were too many in a row."""
        if not isinstance(error, PassingError):
            self._host.answered()
            return error
        self._window.protest(begun, self._world.clock())
        try:
            self._host.failed(begun)
        except GivenUpError as given_up:
            return GivenUpError(f"{error}; {given_up}: {error.advice}")
        # Whoever else is about to ask this host waits with this request.
        asked = min(LONGEST_PAUSE_S, error.after or 0.0)
        self._host.rest(max(asked, backoff(self._host.strikes)) if self._host.open else asked)
        return error

    async def _received(
        self, got: _Got, outcome: str, error: str | None = None, answers: tuple[Answer, ...] | None = None
    ) -> None:
        response = got.response
        kept = got.kept_sha256
        await self._journal.record(
            Received(
                request=got.serial,
                outcome=outcome,
                elapsed_s=got.elapsed_s,
                error=error,
                status=response.status,
                response_sha256=got.sha256,
                # A secret that the server echoed is not kept; then the hash of what is kept is another.
                redacted_sha256=None if kept == got.sha256 else kept,
                headers=self._journal.keep(_headers(response)),
                body=self._journal.keep(response.content, kept),
                identity=identify(response),
                server_date=response.headers.get("date", "")[:_MAX_DATE] or None,
                answers=answers,
                at=self._journal.now(),
            )
        )

    async def _pause(self, seconds: float) -> None:
        """Wait as an adapter asks, within reason and the time left."""
        asked = seconds if math.isfinite(seconds) else LONGEST_PAUSE_S
        self._budget.check_time()
        await self._world.sleep(max(0.0, min(asked, LONGEST_PAUSE_S, self._budget.seconds_left)))

    def _worded(self, text: str) -> str:
        """One line without secrets: a server's words may stand in it."""
        return " ".join(str(self._secrets.redact_all(text)).split())


def _headers(response: Response) -> bytes:
    """Write the headers as JSON; the date stands in the record, so that most responses' headers are equal."""
    kept = {name: value for name, value in sorted(response.headers.items()) if name != "date"}
    return json.dumps(kept, separators=(",", ":")).encode()


def _seconds(elapsed: float) -> float:
    return round(max(0.0, elapsed), 6)
