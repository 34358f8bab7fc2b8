"""Progress of long work on stderr: how far, and about how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TextIO


class Progress(Protocol):
    """Called with the number of steps done so far and the number in all."""

    def __call__(self, done: int, total: int) -> None:
        """Report ``done`` of ``total``."""


def silent(done: int, total: int) -> None:
    """Report nothing."""


@dataclass(slots=True)
class ProgressLine:
    """One line that is rewritten on a terminal; elsewhere, a line each quarter of the way.

    Attributes:
        what: what is counted, such as "zoo: models".
        stream: where to write.
        clock: seconds, monotonic.
    """

    what: str
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _first: tuple[float, int] | None = None
    _quarter: int = -1

    def __call__(self, done: int, total: int) -> None:
        """Report ``done`` of ``total``."""
        now = self.clock()
        if self._first is None:
            self._first = (now, done)
        if self.stream.isatty():
            end = "\n" if done >= total else ""
            self.stream.write(f"\r\033[K{self.what} {done}/{total}{self._left(now, done, total)}{end}")
            self.stream.flush()
        elif total and done * 4 // total > self._quarter:
            self._quarter = done * 4 // total
            self.stream.write(f"{self.what} {done}/{total}{self._left(now, done, total)}\n")

    def _left(self, now: float, done: int, total: int) -> str:
        assert self._first is not None
        start, before = self._first
        if done >= total or done <= before:
            return ""
        seconds = (now - start) / (done - before) * (total - done)
        return f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"


@dataclass(slots=True)
class CountLine:
    """One line that counts up, of which nobody knows how far it goes; told at most once a second.

    Attributes:
        what: what is counted, such as "records read".
        stream: where to write.
        clock: seconds, monotonic.
    """

    what: str
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _told: float = -60.0

    def __call__(self, done: int) -> None:
        """Report ``done``: every second on a terminal, every minute elsewhere."""
        now, terminal = self.clock(), self.stream.isatty()
        if now - self._told >= (1 if terminal else 60):
            self._told = now
            self.stream.write(f"\r\033[K{self.what} {done}" if terminal else f"{self.what} {done}\n")
            self.stream.flush()
