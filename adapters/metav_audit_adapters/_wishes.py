"""What refusals wish for: which fields they miss, which they mind, and how an input should be written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from metav_audit.adapter import Hints
from metav_audit_adapters._described import Path
from metav_audit_adapters._inputs import Layout
from metav_audit_adapters._template import MANY, ONE
from metav_audit_adapters._ways import Way

_QUOTED = re.compile(r"""['"`]([A-Za-z_][\w-]{0,40})['"`]""")
_ASKED_FOR = re.compile(
    r"(?i)(?:missing|requires?d?|needs?|lacks|\bno|expect(?:s|ed)?|field|key|parameter|property)[\s:=]+"
    r"([a-z_]\w{0,40})"
)
_LACKED = re.compile(
    r"(?i)\b([a-z_]\w{0,40})(?:\s+(?:field|parameter|key|property))?(?:\s+(?:is|was|are))?"
    r"\s+(?:missing|mandatory|required|needed|absent|not found)"
)
_WITHIN = re.compile(
    r"\b([a-z_]\w{0,40}): ['\"]?([a-z_]\w{0,40})['\"]? (?:field )?(?:is |was )?(?:missing|mandatory|required)"
)
"""A field within another: "input: image is required"."""
_HEADED = re.compile(r"\b([a-z_]\w{0,40}):\s")
_WISHES = {
    "picture": re.compile(r"base64|b64|valid string|data url|image data|encoded"),
    "numbers": re.compile(r"valid list|array|nested|shape|\ba list|tensor|list of|matrix"),
    "whole": re.compile(r"integer|whole number|\bints?\b|uint8|0\W{1,4}255"),
    "last": re.compile(r"channels?\W+last|hwc|\bh\w*\W{1,3}(x\W)?w\w*\W{1,3}(x\W)?c(hannels?)?\b"),
    "prefix": re.compile(r"data:|data url"),
}
_UNWISHED = re.compile(r"(?i)unknown|unexpected|extra|forbidden|not (allowed|permitted|recogni[sz]ed)|invalid field")
_GOT = re.compile(r"\b(?:got|received|found|given|was|is)\W{1,3}(?:shape\W{1,3})?[\d\s,x*\]]+")
"""What came instead of what was wished."""
_COMMON = frozenset(
    ("a", "an", "and", "array", "as", "bad_request", "be", "body", "code", "ctx", "detail", "dict", "error",
     "errors", "expected", "false", "field", "float", "for", "in", "input", "instance", "int", "integer", "is",
     "json", "key", "list", "loc", "message", "missing", "msg", "none", "not", "null", "number", "object", "of",
     "or", "parameter", "path", "property", "request", "required", "status", "string", "such", "the", "title", "to",
     "true", "type", "url", "value", "with")
)  # fmt: skip
"""Words of refusals that are no fields."""
_MOST_NAMES = 8
_DEEPEST = 5


@dataclass(frozen=True, slots=True)
class Wishes:
    """What refusals say that a request lacks.

    Attributes:
        paths: fields for the input, as paths from the top, the likeliest first.
        vain: fields that were sent and made no difference.
        text: all that was said, in lower case.
        shape: of the task's inputs.
    """

    paths: tuple[Path, ...]
    vain: frozenset[Path]
    text: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, hints: Hints, shape: tuple[int, ...]) -> Wishes:
        """Read the refusals so far, the latest first."""
        latest = [(_slot_in(each.options.get("body")), _said(each.text)) for each in reversed(hints.refusals)]
        minded, vain = _minded(latest), _vain(latest)
        exact = [path for each in reversed(hints.refusals) for path in _located(each.text)]
        exact += [path for _, text in latest for path in _WITHIN.findall(text) if not {*path} & _COMMON - {"input"}]
        quoted = [(name,) for path, text in latest for name in _words(_QUOTED, text) if name not in path]
        told = [text for path, text in latest if path not in minded]
        loose = [(name,) for text in told for asked in (_LACKED, _ASKED_FOR, _HEADED) for name in _words(asked, text)]
        # What it misses within that field lies below it.
        below = [(*path, word) for path, text in latest if path in minded for word in _words(_QUOTED, text)]
        deeper = [path for path in below if path[-1] not in path[:-1]]
        said = _GOT.sub(" ", " ".join(text for _, text in latest).lower())
        paths = [path for path in dict.fromkeys([*deeper, *minded, *exact, *quoted, *loose]) if path not in vain]
        return cls(tuple(paths)[:_MOST_NAMES], vain, said, shape)

    def points(self, way: Way) -> int:
        """Say how well a way to write an input fits what was said."""
        said = {wish: pattern.search(self.text) is not None for wish, pattern in _WISHES.items()}
        last, first = self._says(*self.shape[1:], *self.shape[:1]), self._says(*self.shape)
        layout = way.options.get("layout") if way.depth > 1 else None
        return (
            2 * (said["picture"] and way.depth == 0)
            + 2 * (said["numbers"] and way.depth > 0)
            + 2 * (said["whole"] and way.whole)
            + 3 * ((said["last"] or last) and layout == Layout.HWC.value)
            + 3 * (first and not last and layout == Layout.CHW.value)
            + 3 * (self._says(*self.shape[1:]) and layout == Layout.HW.value)
            + 3 * (self._says(prod(self.shape)) and way.depth == 1)
            + (said["prefix"] and bool(way.prefix))
        )

    def _says(self, *sizes: int) -> bool:
        """Say whether a shape was named: ``(8, 8, 3)``, ``8x8x3``."""
        named = r"[\s,x*\]\[]{1,3}".join(map(str, sizes))
        return bool(sizes) and re.search(rf"(?<![\d.]){named}(?![\d.])", self.text) is not None


def _minded(refusals: list[tuple[Path, str]]) -> list[Path]:
    """Return fields that were sent and are right, as it seems: only what stood there was refused.

    Such a refusal says what those of requests without the field do not say; and it names the field, or another refusal
    does, which missed it.
    """
    texts = _texts(refusals)

    def is_right(path: Path) -> bool:
        others = [said for sent, said in texts.items() if sent != path]
        fresh = not any(texts[path] & said for said in others)
        named = [sent == path for sent, text in refusals if path in _named(text) and not _UNWISHED.search(text)]
        return fresh and bool(named)

    return [path for path in texts if path and is_right(path)]


def _vain(refusals: list[tuple[Path, str]]) -> frozenset[Path]:
    """Return fields whose requests were refused in the words that others without them were refused with."""
    texts = _texts(refusals)
    return frozenset(path for path in texts if any(texts[path] & said for sent, said in texts.items() if sent != path))


def _texts(refusals: list[tuple[Path, str]]) -> dict[Path, set[str]]:
    texts: dict[Path, set[str]] = {}
    for path, text in refusals:
        texts.setdefault(path, set()).add(_unnamed(text, path))
    return texts


def _unnamed(text: str, path: Path) -> str:
    """Return a refusal without the names that were sent, and without numbers."""
    for name in path:
        text = text.replace(name, "?")
    return re.sub(r"\d+", "#", text)


def _slot_in(body: Any) -> Path:
    """Return the path to the slot in a template of tables."""
    path: Path = ()
    while isinstance(body, dict | list):
        if isinstance(body, list):
            body = body[0] if body else None
            continue
        name = next((name for name, part in body.items() if ONE in json.dumps(part) or MANY in json.dumps(part)), None)
        if name is None:
            return ()
        path, body = (*path, name), body[name]
    return path


def _named(text: str) -> set[Path]:
    """Return the fields that a refusal names, whatever it says of them."""
    return set(_located(text, missing=False)) | {(name,) for name in re.findall(r"[A-Za-z_][\w-]{0,40}", text)}


def _located(text: str, *, missing: bool = True) -> Iterator[Path]:
    """Yield the fields that FastAPI's and pydantic's refusals name, ``{"detail": [{"loc": ["body", "image"]}]}``."""
    try:
        details = json.loads(text).get("detail")
    except (ValueError, AttributeError, RecursionError):
        return
    for each in details if isinstance(details, list) else ():
        place = each.get("loc") if isinstance(each, dict) else None
        if isinstance(place, list) and place[:1] == ["body"]:
            path = tuple(part for part in place[1:] if isinstance(part, str))
            if path and len(path) <= _MOST_NAMES and (not missing or each.get("type") == "missing"):
                yield path


def _said(text: str) -> str:
    """Return what a refusal says: of JSON its texts, and in quotes the keys below the top that have some."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "\n".join(_texts_in(body)) or text


def _texts_in(body: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, list) and depth < _DEEPEST:
        for part in body[:_MOST_NAMES]:
            yield from _texts_in(part, depth + 1)
    elif isinstance(body, dict) and depth < _DEEPEST:
        for key, part in list(body.items())[:_MOST_NAMES]:
            if depth and isinstance(part, str | list):
                yield f"'{key}'"
            yield from _texts_in(part, depth + 1)


def _words(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for name in pattern.findall(text):
        if name.lower() not in _COMMON:
            yield name
