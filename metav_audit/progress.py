"""What people read while a command works: text from outside made safe to print, and progress of long work."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TextIO


def printable(text: object) -> str:
    r"""Show control and format characters as escapes: a line break as ``\n``, a right-to-left override as ``\u202e``.

    Left as they are, they would let a name rearrange the line it is printed in, or break a file's encoding.
    """
    told = str(text)
    if told.isprintable():  # Nearly everything is, and no category that is hidden.
        return told
    return "".join(escaped(character) if _hidden(character) else character for character in told)


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def escaped(character: str) -> str:
    """Return a character as an escape."""
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else repr(character)[1:-1]


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
