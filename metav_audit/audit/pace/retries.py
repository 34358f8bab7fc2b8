"""When a request is sent again: bounded attempts, growing pauses with jitter, and the server's own wish, capped."""

from __future__ import annotations

import random
from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from metav_audit.audit.pace.pacing import Sleep, backoff
from metav_audit.errors import RemoteError

LONGEST_PAUSE_S = 120.0
"""The longest pause that a server is granted."""

_OF_THE_REQUEST = 500
"""The one passing status that may speak of the request; gateways' own speak of the server."""


class PassingError(RemoteError):
    """A fault that may pass.

    Args:
        message: what happened.
        advice: what to do if it does not pass.
        after: the pause the server asked for, in seconds, or None.
        status: the HTTP status, or None if no response came.
        body_sha256: of the response's body, or None.
    """

    def __init__(
        self,
        message: str,
        advice: str,
        after: float | None = None,
        status: int | None = None,
        body_sha256: str | None = None,
    ) -> None:
        super().__init__(message)
        self.advice = advice
        self.after = after
        self.status = status
        self.body_sha256 = body_sha256
        self.tries = 1
        """Attempts so far, this one included."""

    @property
    def told(self) -> str:
        """Say what happened, how often it was tried, and what to do."""
        times = "once" if self.tries == 1 else f"{self.tries} times"
        return f"{self}; asked {times}: {self.advice}"

    def repeats(self, earlier: PassingError, others_answered: bool) -> bool:
        """Say whether this is the same error again, and so not a passing one.

        A 5xx with the same body twice, for the same request, is what this input gets. Where the status speaks of the
        server rather than of the request, that holds only if other requests were answered in between.
        """
        if self.after is not None or self.status is None or self.status < 500:
            return False
        same = (self.status, self.body_sha256) == (earlier.status, earlier.body_sha256)
        return same and (others_answered or self.status == _OF_THE_REQUEST)


class RefusedError(RemoteError):
    """The request is refused for what it asks: another input may be taken."""


class StuckError(RemoteError):
    """A batch was not answered for now; it may be asked once more when the others are done."""


def retrying(
    attempts: int,
    seconds_left: Callable[[], float],
    sleep: Sleep,
    rng: random.Random,
    before_pause: Callable[[BaseException, float], None],
) -> AsyncRetrying:
    """Build the policy for one request: PassingError is tried again, anything else is not.

    Args:
        attempts: attempts in all.
        seconds_left: seconds until the run must have ended; a pause that would outlast them is not begun.
        sleep: waits so many seconds.
        rng: the source of the jitter.
        before_pause: told of the fault and the pause that follows it.
    """

    def wait(state: RetryCallState) -> float:
        fault = _fault(state)
        asked = fault.after if isinstance(fault, PassingError) else None
        return min(LONGEST_PAUSE_S, asked or 0.0) + backoff(state.attempt_number) * rng.uniform(0.5, 1.0)

    def stop(state: RetryCallState) -> bool:
        return state.attempt_number >= attempts or state.upcoming_sleep >= seconds_left()

    def announce(state: RetryCallState) -> None:
        before_pause(_fault(state), state.upcoming_sleep)

    retry = retry_if_exception_type(PassingError)
    return AsyncRetrying(sleep=sleep, wait=wait, stop=stop, retry=retry, before_sleep=announce, reraise=True)


def _fault(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    return error
