"""How fast a host is asked: a token bucket, rests it wished, a window that follows its signals, a circuit breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from metav_audit.errors import RemoteError

Sleep = Callable[[float], Awaitable[None]]
Origin = tuple[str, str | None, int | None]

BURST = 5
"""Requests that may leave at once before the token bucket spaces them out."""

OPEN_AFTER = 3
"""Failures in a row that open the circuit: from then on the host gets one request at a time."""

GIVE_UP_AFTER = 10
"""Failures in a row after which the host is given up for this run; with the pauses between them, about two minutes."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_SLOW_S = 0.1


class GivenUpError(RemoteError):
    """The host failed so often in a row that it is not asked again in this run."""


@lru_cache(maxsize=64)
def origin(url: str) -> Origin:
    """Return the scheme, host and port an address leads to.

    Raises:
        ValueError: it is no valid address.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def backoff(strikes: int) -> float:
    """Return the seconds to wait after so many failures in a row, 1 or more: doubling, up to half a minute."""
    return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(strikes - 1, 10)))


class Host:
    """What is known of one host; all requests to it, of whichever endpoint, take their turn here.

    Args:
        clock: monotonic seconds.
        sleep: waits so many seconds.

    Attributes:
        strikes: failures in a row; those of requests that were under way together count once.
        answers: requests that the host answered.
    """

    def __init__(self, clock: Callable[[], float], sleep: Sleep) -> None:
        self.strikes = 0
        self.answers = 0
        self._clock, self._sleep = clock, sleep
        self._interval = 0.0
        self._due = 0.0
        self._rest_until = 0.0
        self._struck = float("-inf")

    def allow(self, per_second: float | None) -> None:
        """Ask the host no more than so often; of several wishes the slowest holds."""
        if per_second is not None:
            self._interval = max(self._interval, 1 / per_second)

    def rest(self, seconds: float) -> None:
        """Leave the host alone for so long."""
        self._rest_until = max(self._rest_until, self._clock() + seconds)

    async def turn(self, most_s: float) -> None:
        """Wait for the end of a rest, then for a token; not longer than ``most_s``, which the caller checks then."""
        served = None
        # A rest that others prolong meanwhile is waited for, too; one that was waited for is over.
        while self._rest_until != served and (pause := self._rest_until - self._clock()) > 0:
            served = self._rest_until
            await self._sleep(min(pause, most_s))
        if (pause := self._take_token()) > 0:
            await self._sleep(min(pause, most_s))

    def answered(self) -> None:
        """Take note that the host is alive."""
        self.answers += 1
        self.strikes = 0

    def failed(self, sent_at: float) -> None:
        """Take note of a failure of a request sent at ``sent_at``.

        Raises:
            GivenUpError: there were too many of them in a row.
        """
        if sent_at >= self._struck:
            self.strikes += 1
            self._struck = self._clock()
        if self.strikes >= GIVE_UP_AFTER:
            raise GivenUpError(f"it failed {self.strikes} times in a row")

    @property
    def open(self) -> bool:
        """Whether the circuit is open."""
        return self.strikes >= OPEN_AFTER

    def _take_token(self) -> float:
        """Return the seconds until this request may leave (the generic cell rate algorithm, ITU-T I.371)."""
        now = self._clock()
        start = max(self._due, now - (BURST - 1) * self._interval)
        self._due = start + self._interval
        return start - now


class Hosts:
    """The hosts of one run, by origin: endpoints on the same host share its pace."""

    def __init__(self, clock: Callable[[], float], sleep: Sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._known: dict[Origin, Host] = {}

    def of(self, url: str) -> Host:
        """Return the host that an address leads to."""
        return self._known.setdefault(origin(url), Host(self._clock, self._sleep))


class Window:
    """How many requests of one endpoint may be under way: use it as an asynchronous context manager.

    It begins with one. Each good answer opens it a little further, doubling it from round to round until the server
    first protests, by one a round from then on; each protest halves it. While answers take more than twice as long as
    the quickest one did (and a tenth of a second longer), it closes slowly: more at once would only queue up.

    Args:
        most: never more than so many.
        host: whose circuit, when open, leaves room for one.

    Attributes:
        quickest_s: seconds that the quickest answer so far took; infinite before the first.
    """

    def __init__(self, most: int, host: Host) -> None:
        self._most, self._host = most, host
        self._size = 1.0
        self._doubling = True
        self._under_way = 0
        self.quickest_s = float("inf")
        self._halved = float("-inf")
        self._changed = asyncio.Condition()

    @property
    def size(self) -> int:
        """How many may be under way now."""
        return 1 if self._host.open else int(self._size)

    async def __aenter__(self) -> Self:
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way < self.size)
            self._under_way += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def good(self, elapsed_s: float) -> None:
        """Take note of an answer that took so long."""
        self.quickest_s = min(self.quickest_s, elapsed_s)
        if elapsed_s > max(2 * self.quickest_s, self.quickest_s + _SLOW_S):
            self._size = max(1.0, self._size - 1 / self._size)
            self._doubling = False
        else:
            self._size = min(float(self._most), self._size + (1.0 if self._doubling else 1 / self._size))

    def protest(self, sent_at: float, now: float) -> None:
        """Take note of a throttled or failed request; those that were sent before the last halving count no more."""
        if sent_at >= self._halved:
            self._size, self._doubling, self._halved = max(1.0, self._size / 2), False, now
