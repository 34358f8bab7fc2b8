"""Secrets that a server sends back in another spelling: found by what a text says once it is decoded.

Searched are the value, its words, and what a Basic credential decodes to: as they are, in other case, in base64 of
either alphabet at any offset, and in hexadecimal; each in the text as it came, and as it reads once escapes of JSON and
HTML and percent signs are decoded, one within the other up to ``LAYERS`` deep, and what stands between is taken out.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import unquote_to_bytes

LAYERS = 4
"""So many spellings may be wrapped in one another."""

LONG = 8
"""A shorter value is not looked for in other case, nor as hexadecimal: numbers and pictures would hold it by chance."""

_TELLING = 6
"""Characters of base64 that are fully given by a value: fewer would be found by chance."""

_ESCAPE = re.compile(rb"\\(?:u\{0*([0-9a-fA-F]{1,2})\}|u00([0-9a-fA-F]{2})|x([0-9a-fA-F]{2})|([0-7]{3})|([/\"'\\]))")
_BETWEEN = b" \t\r\n\0:,;-"
"""Signs with which a server may break a value, or list its bytes."""


class Echoes:
    """Finds secrets, however they are spelled.

    Args:
        named: the secrets, each with the name that stands in its place.
    """

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        self._exact: dict[bytes, str] = {}
        self._folded: dict[bytes, str] = {}
        for name, value in named:
            for text in _meanings(value):
                self._exact |= dict.fromkeys([text, *_in_base64(text)], name)
                folded = [text.lower(), _joined(text.lower()), text.hex().encode()]
                self._folded |= dict.fromkeys((each for each in folded if len(each) >= LONG), name)

    def find(self, content: bytes) -> str | None:
        """Return the name of a secret that a text shows, or None."""
        if not self._exact:
            return None
        for reading in _readings(content):
            folded = reading.lower()
            for exact, any_case in ((reading, folded), (_joined(reading), _joined(folded))):
                shown = _first_in(exact, self._exact) or _first_in(any_case, self._folded)
                if shown:
                    return shown
        return None


def _first_in(text: bytes, needles: Mapping[bytes, str]) -> str | None:
    return next((name for needle, name in needles.items() if needle in text), None)


def _joined(text: bytes) -> bytes:
    """Take out what stands between: line breaks, zero bytes, and the signs of a list of bytes."""
    return text.translate(None, _BETWEEN).replace(b"0x", b"").replace(b"\\x", b"").replace(b"\\n", b"")


def _meanings(value: str) -> Iterator[bytes]:
    """Yield a value, its words (a scheme such as Bearer stands before it), and what they decode to as credentials."""
    words = {value.strip(), *(word for word in value.split() if len(word) >= LONG)}
    for word in words:
        yield word.encode()
        try:
            decoded = base64.b64decode(word, validate=True)
        except binascii.Error:
            continue
        user, colon, password = decoded.partition(b":")
        if colon and decoded.isascii():
            yield from (each for each in (decoded, password) if len(each) >= 4 and each != user)


def _in_base64(text: bytes) -> Iterator[bytes]:
    """Yield those characters of base64 that ``text`` fully gives, wherever in the encoded text it begins."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text)
        start, end = -(-8 * before // 6), 8 * (before + len(text)) // 6
        if end - start >= _TELLING:
            yield encoded[start:end]
            yield encoded[start:end].translate(bytes.maketrans(b"+/", b"-_"))


def _readings(content: bytes) -> Iterator[bytes]:
    """Yield a text and all that it reads as once decoded, each once."""
    seen, fresh = {content}, [content]
    yield content
    for _ in range(LAYERS):
        fresh = [each for text in fresh for each in _decoded(text) if each not in seen]
        fresh = list(dict.fromkeys(fresh))
        seen.update(fresh)
        yield from fresh


def _decoded(text: bytes) -> Iterator[bytes]:
    for sign, decode in _DECODERS:
        if sign in text:
            yield decode(text)


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[5]:
        return match[5]
    digits = match[1] or match[2] or match[3]
    return bytes([int(digits, 16) if digits else int(match[4], 8) & 0xFF])


_DECODERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\\", lambda text: _ESCAPE.sub(_unescaped, text)),
    (b"&", lambda text: html.unescape(text.decode("latin-1")).encode("utf-8", "replace")),
    (b"%", unquote_to_bytes),
    (b"+", lambda text: text.replace(b"+", b" ")),
    (b"=", lambda text: re.sub(rb"=([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), text)),
)
