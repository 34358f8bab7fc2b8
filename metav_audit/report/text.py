"""Text from outside, made safe to print."""

from __future__ import annotations

import unicodedata


def printable(text: object) -> str:
    r"""Show control and format characters as escapes: a line break as ``\n``, a right-to-left override as ``\u202e``.

    Left as they are, they would let a name rearrange the line it is printed in, or break a file's encoding.
    """
    return "".join(_escaped(character) if _hidden(character) else character for character in str(text))


def shorten(text: str, length: int) -> str:
    """Cut a text to ``length`` characters, the last of them an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else repr(character)[1:-1]
