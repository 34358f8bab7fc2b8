"""On which line of an endpoint file each endpoint's table begins: where other tools point."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable

_TEXT = re.compile(r'("""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|#[^\n]*)|"(?:\\.|[^"\\n])*"|\'[^\'\n]*\'', re.DOTALL)
"""Texts of several lines and comments, which may hold what looks like a table; and texts of one line, which may hold
what looks like a comment."""


def table_lines(content: str, names: Iterable[str]) -> dict[str, int]:
    r"""Return the line, from 1, on which each endpoint's table begins in the text of an endpoint file.

    An endpoint that has tables below its own alone begins at the first of them; one that is written within
    ``[endpoints]`` begins there; one that has no table is left out.

    Args:
        content: the file's text, valid TOML.
        names: the endpoints'.

    >>> table_lines('[operator]\nname = "A"\n\n[endpoints.a]\nadapter = "x"\n', ["a"])
    {'a': 4}
    """
    own: dict[str, int] = {}
    below: dict[str, int] = {}
    around = None
    for number, line in enumerate(_TEXT.sub(_blanked, content).split("\n"), 1):
        tables = _named(line)
        if tables == {}:
            around = around or number
        for name, inner in (tables or {}).items():
            (below if inner else own).setdefault(name, number)
    lines = {name: own.get(name) or below.get(name) or around for name in names}
    return {name: line for name, line in lines.items() if line is not None}


def _blanked(match: re.Match[str]) -> str:
    """Leave the line breaks alone of what is no table, and texts of one line as they are."""
    return match[0] if match[1] is None else "\n" * match[1].count("\n")


def _named(line: str) -> dict[str, object] | None:
    """Return what a line that begins a table names below ``endpoints``; None for any other line."""
    header = line.strip()
    if not header.startswith("[") or "endpoints" not in header:
        return None
    try:
        tables = tomllib.loads(header).get("endpoints")
    except tomllib.TOMLDecodeError:
        return None
    return tables if isinstance(tables, dict) else None
