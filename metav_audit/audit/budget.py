"""QueryBudget: the hard ceiling of requests and wall time, reserved before a request is sent."""

from __future__ import annotations

from collections.abc import Callable

from metav_audit.errors import RemoteError


class BudgetSpentError(RemoteError):
    """Nothing more may be sent."""


class QueryBudget:
    """Counts requests, and the time of this run.

    Args:
        requests: requests in all, over every run of this audit.
        wall_s: seconds that this run may last.
        clock: monotonic seconds.
        spent: requests that earlier runs sent.
        kept: requests put by for later; they are not given out until it is lowered.
    """

    def __init__(self, requests: int, wall_s: float, clock: Callable[[], float], spent: int = 0, kept: int = 0) -> None:
        self.requests = requests
        self.spent = spent
        self.kept = kept
        self._clock = clock
        self._wall_s = wall_s
        self._end = clock() + wall_s

    @property
    def seconds_left(self) -> float:
        """Seconds until this run must have ended; not below 0."""
        return max(0.0, self._end - self._clock())

    def reserve(self) -> None:
        """Take one request out of the budget, before it is sent.

        Raises:
            BudgetSpentError: none is left, or the time is up.
        """
        if self.spent + self.kept >= self.requests:
            raise BudgetSpentError(f"the budget of {self.requests} requests is spent")
        self.check_time()
        self.spent += 1

    def check_time(self) -> None:
        """Raise BudgetSpentError if the time is up."""
        if self.seconds_left <= 0:
            raise BudgetSpentError(f"the wall time of {self._wall_s:g} seconds is spent")
