"""How long a server asks to be left alone: in a header or in its body, in whichever of many forms; never trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from metav_audit.adapter import Response

_READ_BYTES = 4096
_EPOCH = 1.2e9
"""A greater number of seconds is a moment since 1970, not a pause."""
_ASTRAY = timedelta(hours=26)
"""A server's clock goes wrong by an hour, or by its time zone; further off it is not believed."""

_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"
_PART = re.compile(rf"({_NUMBER})(ms|h|m|s)")
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|h|m|s))+")
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms", "x-retry-after-ms")
_SECONDS = ("retry-after", "x-retry-after", "x-ms-retry-after")
_PAUSES = {"estimatedtime", "retryafter", "retryafterseconds", "retrydelay"}
"""Names of a pause in a JSON body, without what stands between their words."""
_DEEPEST = 6
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_RESET = re.compile(r"(x-)?rate-?limit-(?P<what>reset|remaining)(?P<of>-[a-z-]+)?")
_PARAMETER = re.compile(rf";\s*([rt])\s*=\s*({_NUMBER})")
_SAID = re.compile(
    rf"(?:(?:resets?|retry|again|available) (?:in|after)|wait(?: for)?) ~?\s?((?:{_NUMBER}(?:ms|h|m|s)\b)|{_NUMBER}) ?"
    rf"(ms|milliseconds?|s|sec|seconds?|m|min|minutes?)?\b",
    re.IGNORECASE,
)


def wished_pause(response: Response, now: datetime) -> float | None:
    """Read the pause a refusing server wishes, in seconds: finite, not negative, and not capped; None if it says none.

    The first of these that says anything: ``retry-after-ms`` and ``retry-after``; the IETF's ``ratelimit``;
    ``x-ratelimit-reset`` with any ending; ``estimated_time`` or ``retry_after`` anywhere in a JSON body; "resets in
    ~30s" in its text. A moment is counted from the server's own clock where it tells the time.
    """
    now = _clock_of(response, now)
    readings: tuple[Callable[[], float | None], ...] = (
        lambda: retry_after(response.headers, now),
        lambda: _ietf(response.headers.get("ratelimit", "")),
        lambda: _reset(response.headers, now),
        lambda: _estimated(response.content),
        lambda: _said(response.content),
    )
    return next((seconds for reading in readings if (seconds := reading()) is not None), None)


def announced_rest(response: Response, now: datetime) -> float:
    """Read for how many seconds a server that has answered will refuse the next request; 0 if it says nothing.

    It must say outright that nothing remains: in the IETF's ``ratelimit``, or in ``x-ratelimit-remaining``.
    """
    headers, now = response.headers, _clock_of(response, now)
    if not any("ratelimit" in name or "rate-limit" in name for name in headers):
        return 0.0
    spent = {name: text for name, text in headers.items() if _says_none_remains(name, headers)}
    return max(_ietf(headers.get("ratelimit", ""), stated=True) or 0.0, _reset(spent, now) or 0.0)


def _says_none_remains(name: str, headers: Mapping[str, str]) -> bool:
    match = _RESET.fullmatch(name)
    return bool(match) and _number(headers.get(name.replace("-reset", "-remaining", 1), "")) == 0


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read ``retry-after-ms``, or ``retry-after`` as a number of seconds, "3s", a moment since 1970 or a date.

    Vendors write either behind ``x-`` or ``x-ms-``, too.
    """
    for name in _MILLISECONDS:
        milliseconds = _number(headers.get(name, ""))
        if milliseconds is not None:
            return milliseconds / 1000
    text = next((headers[name].strip() for name in _SECONDS if headers.get(name, "").strip()), "")
    seconds = _moment(text, now)
    if seconds is not None or not text:
        return seconds
    date = _date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())


def _clock_of(response: Response, now: datetime) -> datetime:
    """Return the time by the server's own clock, which its moments are told by; ours where it tells none."""
    its = _date(response.headers.get("date", ""))
    return its if its is not None and abs(its - now) <= _ASTRAY else now


def _date(text: str) -> datetime | None:
    """Read a date as HTTP writes it, or as ISO 8601 does."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, OverflowError):
            date = read(text)
            return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None


def _ietf(text: str, *, stated: bool = False) -> float | None:
    """Read ``"api";r=0;t=55``, one or several policies: the longest ``t`` of those with nothing remaining.

    Without an ``r``, nothing remains, unless it has to be ``stated``.
    """
    policies = [dict(_PARAMETER.findall(policy)) for policy in text.split(",")]
    spent = [policy for policy in policies if float(policy.get("r", 1 if stated else 0)) == 0]
    return max((float(policy["t"]) for policy in spent if "t" in policy), default=None)


def _reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read ``x-ratelimit-reset-*``: the longest of those limits of which nothing is said to remain."""
    found = [(match["what"], match["of"], text) for name, text in headers.items() if (match := _RESET.fullmatch(name))]
    remaining = {of: _number(text) for what, of, text in found if what == "remaining"}
    resets = [_moment(text, now) for what, of, text in found if what == "reset" and not remaining.get(of)]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def _moment(text: str, now: datetime) -> float | None:
    """Read "6m0s", a number of seconds, or a moment since 1970 in seconds or milliseconds."""
    seconds = _duration(text.strip().lower())
    if seconds is None or seconds < _EPOCH:
        return seconds
    return max(0.0, (seconds / 1000 if seconds > 1000 * _EPOCH else seconds) - now.timestamp())


def _duration(text: str) -> float | None:
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return _number(text)


def _estimated(content: bytes) -> float | None:
    """Read the longest pause that a JSON body names, however deep it lies."""
    try:
        body = json.loads(content) if len(content) <= _READ_BYTES else None
    except (ValueError, RecursionError):
        return None
    found = [_duration(str(value).strip().lower()) for value in _named(body, _DEEPEST)]
    return max((seconds for seconds in found if seconds is not None and seconds < _EPOCH), default=None)


def _named(part: Any, deeper: int) -> Iterator[Any]:
    if deeper and isinstance(part, dict | list):
        for name, inner in part.items() if isinstance(part, dict) else enumerate(part):
            if str(name).replace("_", "").replace("-", "").lower() in _PAUSES:
                yield inner
            yield from _named(inner, deeper - 1)


def _said(content: bytes) -> float | None:
    said = _SAID.search(content[:_READ_BYTES].decode("utf-8", "replace"))
    if said is None:
        return None
    unit = (said[2] or "s").lower()
    short = "ms" if unit.startswith(("ms", "milli")) else unit[0]
    return _duration(said[1].lower() if said[1][-1].isalpha() else said[1] + short)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
