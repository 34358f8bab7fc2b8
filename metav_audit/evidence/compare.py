"""Comparing what a file says with what was recomputed; a difference is told by its place."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

TOLERANCE = 1e-9
"""Relative; what is smaller is the other machine's rounding."""


def first_difference(recorded: Any, recomputed: Any, place: str = "") -> str | None:
    """Return a sentence on the first place where two JSON values differ, or None where they say the same."""
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        return _difference_of_objects(recorded, recomputed, place)
    if isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        pairs = enumerate(zip(recorded, recomputed, strict=True))
        return next(filter(None, (first_difference(*pair, f"{place}[{at}]") for at, pair in pairs)), None)
    if _same(recorded, recomputed):
        return None
    return f"{place or 'the whole'} is {_brief(recorded)}, recomputed it is {_brief(recomputed)}"


def json_difference(recorded: bytes, recomputed: bytes) -> str | None:
    """Compare two JSON files; see ``first_difference``.

    Raises:
        ValueError: ``recorded`` is not JSON.
    """
    return None if recorded == recomputed else first_difference(json.loads(recorded), json.loads(recomputed))


def csv_difference(recorded: bytes, recomputed: bytes) -> str | None:
    """Compare two CSV files cell by cell, numbers as numbers; see ``first_difference``.

    Raises:
        ValueError: ``recorded`` is not UTF-8.
    """
    return None if recorded == recomputed else first_difference(_rows(recorded), _rows(recomputed), "rows")


def _difference_of_objects(recorded: dict[str, Any], recomputed: dict[str, Any], place: str) -> str | None:
    for name in sorted(recorded.keys() | recomputed.keys()):
        inner = f"{place}.{name}" if place else name
        if name not in recorded:
            return f"{inner} is missing"
        if name not in recomputed:
            return f"{inner} does not belong there"
        difference = first_difference(recorded[name], recomputed[name], inner)
        if difference:
            return difference
    return None


def _same(recorded: Any, recomputed: Any) -> bool:
    if type(recorded) in (int, float) and type(recomputed) in (int, float):
        return math.isclose(recorded, recomputed, rel_tol=TOLERANCE, abs_tol=0.0)
    return type(recorded) is type(recomputed) and bool(recorded == recomputed)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _rows(content: bytes) -> list[list[Any]]:
    return [[_cell(cell) for cell in row] for row in csv.reader(io.StringIO(content.decode(), newline=""))]


def _cell(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
