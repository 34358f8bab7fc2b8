"""Spans of time and quiet hours, as a fleet file writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Self

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES = 24 * 60


def seconds_of(text: str) -> float:
    """Return the seconds of a span such as "7d".

    Raises:
        ValueError: it is none.

    >>> seconds_of("7d"), seconds_of("90m")
    (604800.0, 5400.0)
    """
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text[:20]!r} is no span of time: write a number and s, m, h, d or w, like 7d")
    return float(int(found[1]) * _UNITS[found[2]])


def span_words(seconds: float) -> str:
    """Write a span in its largest whole unit.

    >>> span_words(604800), span_words(5400), span_words(86400)
    ('1w', '90m', '1d')
    """
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of the week in which nothing is asked, or nobody is told.

    Attributes:
        spans: days (0 for Monday) and minutes of the day, from and until; what ends before it begins ends a day later.
        zone: the time zone that they are in.

    >>> from datetime import UTC
    >>> quiet = QuietHours.of(["Mon-Fri 22:00-07:00", "Sun"], UTC)
    >>> [quiet.cover(datetime(2026, 3, day, hour, tzinfo=UTC).timestamp()) for day, hour in ((2, 23), (3, 6), (3, 12))]
    [True, True, False]
    """

    spans: tuple[tuple[frozenset[int], int, int], ...]
    zone: tzinfo

    @classmethod
    def of(cls, texts: Iterable[str], zone: tzinfo) -> Self:
        """Read spans such as "22:00-07:00", "Mon-Fri 08:00-18:00" and "Sat,Sun".

        Raises:
            ValueError: one of them is none.
        """
        return cls(tuple(map(_span, texts)), zone)

    def cover(self, at: float) -> bool:
        """Say whether a moment, in seconds since 1970, lies in them."""
        local = datetime.fromtimestamp(at, self.zone)
        day, minute = local.weekday(), local.hour * 60 + local.minute
        return any(_covers(span, day, minute) for span in self.spans)


def _covers(span: tuple[frozenset[int], int, int], day: int, minute: int) -> bool:
    days, start, end = span
    if start < end:
        return day in days and start <= minute < end
    return (day in days and minute >= start) or ((day - 1) % 7 in days and minute < end)


def _span(text: str) -> tuple[frozenset[int], int, int]:
    words = text.strip().lower().split()
    hours = [_HOURS.fullmatch(word) for word in words]
    days = [word for word, found in zip(words, hours, strict=True) if found is None]
    times = [found for found in hours if found is not None]
    if not words or len(days) > 1 or len(times) > 1:
        raise ValueError(_wrong(text))
    named = _days_of(days[0], text) if days else frozenset(range(7))
    if not times:
        return named, 0, _DAY_MINUTES
    first = times[0]
    start, end = int(first[1]) * 60 + int(first[2]), int(first[3]) * 60 + int(first[4])
    if start == end or end > _DAY_MINUTES:
        raise ValueError(_wrong(text))
    return named, start, end


def _days_of(text: str, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(_wrong(whole))
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(start + step) % 7 for step in range((end - start) % 7 + 1)}
    return frozenset(found)


def _wrong(text: str) -> str:
    return f"{text[:40]!r} is no span of hours: write it like Mon-Fri 08:00-18:00, 22:00-07:00, or Sat,Sun"
