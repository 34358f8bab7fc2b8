"""Figures as text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metav_audit.report.document import when
from metav_audit.statistics import ratio_text

_HASH = re.compile(r"\b[0-9a-f]{64}\b")
DASH = "\N{EN DASH}"


def number(value: float | None, digits: int = 4) -> str:
    """Write a figure with so many significant digits, a dash where there is none."""
    return DASH if value is None else f"{value:.{digits}g}"


def p_value(value: float | None) -> str:
    """Write a p-value."""
    return DASH if value is None else f"{value:.3g}"


def p_share(value: float | None, count: int) -> str:
    """Write a p-value as the share that it is, such as 1/31, of ``count`` lineages and the endpoint itself."""
    return "no score" if value is None else f"{round(value * (count + 1))}/{count + 1}"


def ratio(log10_lr: float | None) -> str:
    """Write a likelihood ratio."""
    return DASH if log10_lr is None else ratio_text(log10_lr)


def percents(interval: tuple[float, float] | None) -> str:
    """Write an interval of shares."""
    return DASH if interval is None else f" {DASH} ".join(f"{end:.1%}" for end in interval)


def number_ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ranges, 3 to 7 with a dash."""
    runs: list[list[int]] = []
    for each in sorted(numbers):
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}{DASH}{run[-1]}" for run in runs)


def short_hashes(sentence: str) -> str:
    """Cut the hashes in a sentence to twelve digits; the annex has them whole."""
    return _HASH.sub(lambda found: f"{found[0][:12]}…", sentence)


def moment(text: str | None) -> str:
    """Write a time of ISO 8601 to the second, UTC; as it came where it is no time."""
    if text is None:
        return "not yet"
    read = when(text)
    return f"{read:%Y-%m-%d %H:%M:%S} UTC" if read.timestamp() else text


def size(count: int) -> str:
    """Write a number of bytes, thousands apart."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
