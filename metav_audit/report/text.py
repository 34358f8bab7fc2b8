"""Text from outside, made safe to print."""

from __future__ import annotations

from typing import Any

from metav_audit.progress import escaped

_COVERED = (
    range(0x20, 0x483),
    range(0x48A, 0x500),
    range(0x2010, 0x2040),
    range(0x2070, 0x20D0),
    range(0x2190, 0x2300),
)
"""Latin, Greek, Cyrillic, punctuation and mathematical signs: letters that the typesetter's own fonts have."""


def shorten(text: str, length: int) -> str:
    """Cut a text to ``length`` characters, the last of them an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def escape_rare(value: Any) -> Any:
    r"""Escape, in every text of a JSON value, what the typesetter's own fonts lack, such as ``\u732b``."""
    if isinstance(value, str):
        return "".join(letter if _has_glyph(letter) else escaped(letter) for letter in value)
    if isinstance(value, dict):
        return {name: escape_rare(item) for name, item in value.items()}
    return [escape_rare(item) for item in value] if isinstance(value, list) else value


def _has_glyph(letter: str) -> bool:
    return any(ord(letter) in covered for covered in _COVERED)
