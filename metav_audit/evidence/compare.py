"""Comparing what a file says with what was recomputed; a difference is told by its place."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from itertools import zip_longest
from typing import Any

from metav_audit.errors import EvidenceError
from metav_audit.files import strict_json

_GENERATOR = re.compile(r'<meta name="generator" content="[^"<]*">')
_FIGURE = re.compile(r'src="data:image/svg\+xml;base64,[A-Za-z0-9+/=]*"')

_WORDS = re.compile(rb"<text[^>]*>([^<]*)</text>")
_COORDINATES = re.compile(rb'(?:\bd|\bx|\by|\btransform)="([^"]*)"')
_LOOKS = re.compile(rb'(?:fill|stroke|stop-color|opacity)(?:-width|-opacity)?\s*[:=]\s*"?\s*[#\w.]+')
_NUMBER = re.compile(rb"-?[0-9]+\.?[0-9]*(?:e-?[0-9]+)?")

TOLERANCE = 1e-9
"""Relative; what is smaller is the other machine's rounding."""

POINT = 1.0
"""By so much, in points of a figure or page, two programs may draw apart: matplotlib 3.9 and 3.11 do by 0.6."""


class NotComparedError(Exception):
    """What should be compared cannot be, here; that is no finding, and nothing passes by it."""


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
    return None if recorded == recomputed else first_difference(strict_json(recorded), strict_json(recomputed))


def csv_difference(recorded: bytes, recomputed: bytes) -> str | None:
    """Compare two CSV files cell by cell, numbers as numbers; see ``first_difference``.

    Raises:
        ValueError: ``recorded`` is not UTF-8.
    """
    return None if recorded == recomputed else first_difference(_rows(recorded), _rows(recomputed), "rows")


def html_agreement(recorded: bytes, recomputed: bytes) -> str:
    """Compare two HTML reports line by line; return in words how far they agree.

    Where another program drew its figures than the one installed here, their words and their points are compared.

    Raises:
        EvidenceError: they say different things; the message gives the first line.
        NotComparedError: the words agree, and the figures cannot be compared.
        ValueError: ``recorded`` is not UTF-8.
    """
    if recorded == recomputed:
        return "every byte agrees"
    texts = recorded.decode(), recomputed.decode()
    drawn_by = [_GENERATOR.search(text) for text in texts]
    same = drawn_by[0] is not None and drawn_by[1] is not None and drawn_by[0][0] == drawn_by[1][0]
    lines = [(text if same else _GENERATOR.sub("", _FIGURE.sub("", text))).splitlines() for text in texts]
    for number, pair in enumerate(zip_longest(*lines, fillvalue=""), 1):
        if pair[0] != pair[1]:
            alike = next((at for at, two in enumerate(zip(*pair, strict=False)) if two[0] != two[1]), 0)
            start = max(0, alike - 20)
            is_, was = (_brief(line[start:].strip()) for line in pair)
            raise EvidenceError(f"line {number} has {is_}, recomputed it is {was}")
    figures = [_FIGURE.findall(text) for text in texts]
    for number, pair in enumerate(zip_longest(*figures, fillvalue=""), 1):
        _compare_figures(
            number, *(base64.b64decode(each[len('src="data:image/svg+xml;base64,') : -1]) for each in pair)
        )
    return "every word agrees; its figures were drawn by another program, and every point of them agrees"


def _compare_figures(number: int, recorded: bytes, recomputed: bytes) -> None:
    """Compare the words and colours of two SVG files, and where their points lie."""
    words = [_WORDS.findall(svg) for svg in (recorded, recomputed)]
    points = [
        [float(each) for place in _COORDINATES.findall(svg) for each in _NUMBER.findall(place)]
        for svg in (recorded, recomputed)
    ]
    if words[0] != words[1]:
        raise EvidenceError(f"figure {number} says other words than one drawn anew")
    if _LOOKS.findall(recorded) != _LOOKS.findall(recomputed) and len(points[0]) == len(points[1]):
        raise EvidenceError(f"figure {number} has other colours or lines than one drawn anew")
    if len(points[0]) != len(points[1]):
        raise NotComparedError(f"every word agrees; figure {number} was drawn by another program in another way")
    if any(abs(is_ - was) > POINT for is_, was in zip(*points, strict=True)):
        raise EvidenceError(f"figure {number} shows other points than one drawn anew")


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
        return strict_json(text)
    except ValueError:
        return text
