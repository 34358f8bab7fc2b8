"""Sending a probe's requests: counted before they leave, bounded, to one host alone, secrets struck from what comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from metav_audit.adapter import Outcome, Request, Response, Wait, classify
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.secrets import Secrets, name_of_dropped
from metav_audit.audit.pace.budget import QueryBudget
from metav_audit.audit.pace.pacing import Sleep
from metav_audit.audit.pace.retries import PassingError
from metav_audit.audit.wire.faults import TransportError
from metav_audit.audit.wire.headers import headers_for
from metav_audit.audit.wire.hints import wished_pause
from metav_audit.audit.wire.identity import explain
from metav_audit.audit.wire.refusals import no_response, refusal
from metav_audit.audit.wire.transport import WayOut
from metav_audit.errors import AnswerError, RemoteError

LONGEST_PAUSE_S = 20.0
"""The longest pause that a server, or an adapter between polls, is granted."""
_PASSING = (502, 503, 504)
_PAUSE_S = 1.0
_MOST_TOLD = 100


@dataclass(slots=True)
class Courier:
    """Sends requests to one host, within a budget.

    Attributes:
        endpoint: whose headers are sent, and whose host is asked.
        secrets: what the headers' variables hold.
        way: the way out.
        budget: what may still be sent.
        sleep: waits so many seconds.
        now: tells the time.
        told: what came back, in a few words each, in order.
    """

    endpoint: Endpoint
    secrets: Secrets
    way: WayOut
    budget: QueryBudget
    sleep: Sleep
    now: Callable[[], datetime]
    told: list[str] = field(default_factory=list)

    async def send(self, request: Request) -> Response:
        """Send one request, once more if it met a passing fault; return the response, whatever its status.

        Raises:
            BudgetSpentError: nothing more may be sent.
            RemoteError: no response came, or the host wants other credentials, less speed, or to be asked elsewhere.
            AnswerError: the request would leave the host.
        """
        response = await self._send(request)
        outcome = classify(self.endpoint.adapter, response)
        if outcome is Outcome.THROTTLED or response.status in _PASSING:
            await self.wait(Wait(wished_pause(response, self.now()) or _PAUSE_S))
            response = await self._send(request)
            outcome = classify(self.endpoint.adapter, response)
        stops = outcome in (Outcome.AUTH, Outcome.THROTTLED) or response.status in _PASSING
        if request.method == "POST" and (stops or 300 <= response.status < 400):
            raise self._ended(refusal(self.endpoint, outcome, response, self.now()))
        return response

    async def wait(self, pause: Wait) -> None:
        """Wait as long as asked, within reason."""
        self.budget.check_time()
        await self.sleep(max(0.0, min(pause.seconds, LONGEST_PAUSE_S, self.budget.seconds_left)))

    async def _send(self, request: Request) -> Response:
        headers = headers_for(self.endpoint, self.secrets, request, self.now())
        self.budget.reserve()
        try:
            raw = await self.way.send(request, headers, self.budget.seconds_left)
        except TransportError as fault:
            raise self._ended(no_response(self.endpoint, fault)) from None
        response = self.secrets.redact_response(raw)
        self.told.append(self._words(explain(response))[:_MOST_TOLD])
        if name_of_dropped(response.content) is not None:
            raise AnswerError(
                "the endpoint repeats a secret in a spelling of its own: use a credential that it does not"
            )
        return response

    def _ended(self, error: RemoteError) -> RemoteError:
        """Return the error as one line that says what to do."""
        advice = f": {error.advice}" if isinstance(error, PassingError) else ""
        return RemoteError(self._words(f"{error}{advice}"))

    def _words(self, text: str) -> str:
        return " ".join(str(self.secrets.redact_all(text)).split())
