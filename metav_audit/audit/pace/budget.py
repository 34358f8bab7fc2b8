"""QueryBudget: the hard ceiling of requests and wall time, reserved before a request is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metav_audit.errors import RemoteError


class BudgetSpentError(RemoteError):
    """Nothing more may be sent."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """What is put by for the end: so many requests, and so many seconds."""

    requests: int = 0
    seconds: float = 0.0


class QueryBudget:
    """Counts requests, and the time of this run.

    Args:
        requests: requests in all, over every run of this audit.
        wall_s: seconds that this run may last.
        clock: monotonic seconds.
        spent: requests that earlier runs sent.
        kept: what is put by; it is not given out until ``release``.

    Attributes:
        spent: requests sent, those of earlier runs included.
        retries: requests of this run that asked something again.
    """

    def __init__(
        self, requests: int, wall_s: float, clock: Callable[[], float], spent: int = 0, kept: Reserve | None = None
    ) -> None:
        self.requests = requests
        self.spent = spent
        self.retries = 0
        self._kept = kept or Reserve()
        self._clock = clock
        self._wall_s = wall_s
        self._end = clock() + wall_s

    @property
    def seconds_left(self) -> float:
        """Seconds until this run must have ended, less those put by; not below 0."""
        return max(0.0, self._end - self._kept.seconds - self._clock())

    def release(self) -> None:
        """Give out what was put by, too."""
        self._kept = Reserve()

    def keep(self, kept: Reserve) -> None:
        """Put by again."""
        self._kept = kept

    def reserve(self, *, again: bool = False) -> None:
        """Take one request out of the budget, before it is sent.

        Args:
            again: whether it asks something that was asked before.

        Raises:
            BudgetSpentError: none is left, or the time is up.
        """
        if self.spent + self._kept.requests >= self.requests:
            raise BudgetSpentError(f"the budget of {self.requests} requests is spent")
        self.check_time()
        self.spent += 1
        self.retries += again

    def check_time(self) -> None:
        """Raise BudgetSpentError if the time is up."""
        if self.seconds_left <= 0:
            raise BudgetSpentError(f"the wall time of {self._wall_s:g} seconds is spent")
