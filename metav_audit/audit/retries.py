"""When a request is sent again: bounded attempts, growing pauses with jitter, and the server's own wish, capped."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from metav_audit.errors import RemoteError

LONGEST_PAUSE_S = 120.0
_FIRST_PAUSE_S = 0.5
_LONGEST_OWN_PAUSE_S = 30.0

Sleep = Callable[[float], Awaitable[None]]


class PassingError(RemoteError):
    """A fault that may pass.

    Args:
        message: what happened.
        advice: what to do if it does not pass.
        after: the pause the server asked for, in seconds, or None.
    """

    def __init__(self, message: str, advice: str, after: float | None = None) -> None:
        super().__init__(message)
        self.advice = advice
        self.after = after


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
        own = min(_LONGEST_OWN_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1))
        return min(LONGEST_PAUSE_S, asked or 0.0) + own * rng.uniform(0.5, 1.0)

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
