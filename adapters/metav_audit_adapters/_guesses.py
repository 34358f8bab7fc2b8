"""Guessing requests: every usual way to write an input, in every usual body, in the order that hints make likely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from metav_audit.adapter import Guess, Hints, TabularDomain, TaskSpec
from metav_audit_adapters._described import Path, Slot, slots_in
from metav_audit_adapters._inputs import Colours, Encoding, Layout

ONE, MANY = "{{input}}", "{{inputs}}"
BATCH = 8
"""Inputs in one request where an API takes a list."""

_PICTURES = ("image", "img", "picture", "file", "data", "input", "inputs", "instances", "x", "content", "payload")
_NUMBERS = ("inputs", "instances", "data", "input", "features", "x", "image", "images", "rows", "records", "values")
_UPLOADS = ("file", "image")
_QUOTED = re.compile(r"""['"`]([A-Za-z_][\w-]{0,40})['"`]""")
_ASKED_FOR = re.compile(
    r"(?i)(?:missing|requires?d?|needs?|lacks|\bno|expect(?:s|ed)?|field|key|parameter|property)[\s:=]+"
    r"([a-z_]\w{0,40})"
)
_LACKED = re.compile(r"(?i)\b([a-z_]\w{0,40})(?:\s+(?:is|was|are))?\s+(?:missing|required|needed|absent|not found)")
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
_LISTS = frozenset(
    ("batch", "examples", "images", "inputs", "instances", "items", "observations", "queries", "records", "rows",
     "samples")
)  # fmt: skip
"""Fields that take a list of inputs most often."""
_COMMON = frozenset(
    ("a", "an", "and", "array", "as", "bad_request", "be", "body", "code", "ctx", "detail", "dict", "error",
     "errors", "expected", "false", "field", "float", "for", "in", "input", "instance", "int", "integer", "is",
     "json", "key", "list", "loc", "message", "missing", "msg", "none", "not", "null", "number", "object", "of",
     "or", "parameter", "path", "property", "request", "required", "status", "string", "such", "the", "title", "to",
     "true", "type", "url", "value", "with")
)  # fmt: skip
"""Words of refusals that are no fields."""
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Way:
    """One way to write an input.

    Attributes:
        options: of ``InputOptions``.
        depth: how deep a list it is; 0 for a text, -1 for an object.
        whole: whether all numbers are whole.
        prefix: what stands before it in a text.
    """

    options: Mapping[str, Any]
    depth: int
    whole: bool = False
    prefix: str = ""

    @property
    def form(self) -> str:
        """What it looks like, whatever its numbers."""
        return f"{self.options['encoding']} {self.prefix}"


def ways_of(task: TaskSpec) -> list[Way]:
    """Return the ways to write one of a task's inputs, the usual first."""
    if isinstance(task.domain, TabularDomain):
        return [
            Way({"encoding": Encoding.ROWS.value}, -1),
            Way({"encoding": Encoding.CELLS.value}, 1),
            Way({"encoding": Encoding.FLAT.value}, 1),
        ]
    if len(task.domain.shape) != 3:
        return [Way({"encoding": Encoding.FLAT.value}, 1)]
    texts = [
        Way({"encoding": Encoding.PNG_BASE64.value}, 0, prefix=prefix) for prefix in ("", "data:image/png;base64,")
    ]
    return [*texts, *_numbers(task)]


def _numbers(task: TaskSpec) -> Iterator[Way]:
    """Yield the ways to write an image in numbers: 0..1 or as the task has it, 0..255, -1..1; in each layout."""
    grey = task.domain.shape[0] == 1
    depths = {Layout.CHW: 3, Layout.HWC: 3} | ({Layout.HW: 2} if grey else {})
    for colours in ({},) if grey else ({}, {"colours": Colours.BGR.value}):
        for numbers in _ranges(*task.domain.bounds):
            for layout, depth in depths.items():
                written = {"layout": layout.value, **numbers, **colours}
                yield Way({"encoding": Encoding.NESTED.value, **written}, depth, "whole" in numbers)
            for layout in (Layout.CHW,) if grey else (Layout.CHW, Layout.HWC):
                yield Way(
                    {"encoding": Encoding.FLAT.value, "layout": layout.value, **numbers, **colours},
                    1,
                    "whole" in numbers,
                )


def _ranges(low: float, high: float) -> Iterator[dict[str, Any]]:
    """Yield how numbers of a range are brought into the usual ones; nothing is said where it is one of them."""
    for least, most, whole in ((low, high, False), (0.0, 255.0, True), (0.0, 1.0, False), (-1.0, 1.0, False)):
        scale = (most - least) / (high - low)
        offset = least - low * scale
        if (least, most) == (low, high) and whole:
            yield {"whole": True}
        elif (least, most) == (low, high) or scale != 1 or offset:
            written = {} if scale == 1 else {"scale": scale}
            yield written | ({"offset": offset} if offset else {}) | ({"whole": True} if whole else {})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What refusals say that a request lacks.

    Attributes:
        paths: fields for the input, as paths from the top, the likeliest first.
        text: all that was said, in lower case.
        shape: of the task's inputs.
    """

    paths: tuple[Path, ...]
    text: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, hints: Hints, shape: tuple[int, ...]) -> Wishes:
        """Read the refusals so far, the latest first."""
        latest = [(_slot_in(each.options.get("body")), each.text) for each in reversed(hints.refusals)]
        minded = _minded(latest)
        exact = [path for _, text in latest for path in _located(text)]
        quoted = [(name,) for _, text in latest for name in _words(_QUOTED, text)]
        told = [text for path, text in latest if path not in minded]
        loose = [(name,) for text in told for asked in (_LACKED, _ASKED_FOR) for name in _words(asked, text)]
        # What it misses within that field lies below it.
        below = [(*path, word) for path, text in latest if path in minded for word in _words(_QUOTED, text)]
        deeper = [path for path in below if path[-1] not in path[:-1]]
        said = _GOT.sub(" ", " ".join(each.text for each in hints.refusals).lower())
        paths = dict.fromkeys([*deeper, *minded, *exact, *quoted, *loose])
        return cls(tuple(paths)[:_MOST_NAMES], said, shape)

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
    texts: dict[Path, set[str]] = {}
    for path, text in refusals:
        texts.setdefault(path, set()).add(_unnamed(text, path))

    def is_right(path: Path) -> bool:
        others = [said for sent, said in texts.items() if sent != path]
        fresh = not any(texts[path] & said for said in others)
        named = [sent == path for sent, text in refusals if path in _named(text) and not _UNWISHED.search(text)]
        return fresh and bool(named)

    return [path for path in texts if path and is_right(path)]


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


def _words(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for name in pattern.findall(text.replace('\\"', "'")):
        if name.lower() not in _COMMON:
            yield name


def bodies(task: TaskSpec, url: str, hints: Hints) -> Iterator[Guess]:
    """Yield what an API whose JSON is its own business may take, the likeliest first."""
    wishes, ways = Wishes.of(hints, task.domain.shape), ways_of(task)
    ranked = sorted(ways, key=lambda way: -wishes.points(way))
    for document in hints.documents.values():
        yield from _tensors(document, url, ranked, task)
        for slot in slots_in(document, url, ONE):
            yield from _described(slot, ranked)
    cells = [path for path in wishes.paths if path[-1] in _columns(task)]
    for path in dict.fromkeys(path[:-1] for path in cells):
        # Whoever misses a column wants a row there.
        yield from (_guess(url, _nested(path, ONE), way) for way in ranked if way.depth < 0)
    for path in wishes.paths:
        if path not in cells:
            yield from _at(url, path, ranked)
    texts, numbers = [[way for way in ranked if (way.depth == 0) is written] for written in (True, False)]
    for picture, number in zip(_PICTURES, _NUMBERS, strict=True):
        yield from (_guess(url, {picture: ONE}, way) for way in texts[:1])
        yield from _at(url, (number,), numbers)
    for name in _PICTURES:
        yield from _at(url, (name,), ranked)
    yield from _uploads(url, task)
    yield from _whole(url, ranked)


def _columns(task: TaskSpec) -> set[str]:
    return {column.name for column in task.domain.columns} if isinstance(task.domain, TabularDomain) else set()


def _at(url: str, path: Path, ways: list[Way]) -> Iterator[Guess]:
    """Yield bodies with the input, or a list of inputs, at a path."""
    plural = path[-1].lower() in _LISTS
    if len(path) > 1 and path[-2].lower() in _LISTS:
        yield from (_guess(url, _nested(path[:-1], [{path[-1]: ONE}]), way) for way in ways)
    for slot in (MANY, ONE) if plural else (ONE, MANY):
        for way in ways:
            if not (slot == MANY and way.prefix):
                yield _guess(url, _nested(path, slot), way)


def _nested(path: Path, slot: Any) -> Any:
    body: Any = slot
    for name in reversed(path):
        body = {name: body}
    return body


def _guess(url: str, body: Any, way: Way) -> Guess:
    many = MANY in json.dumps(body)
    filled = _prefixed(body, way.prefix) if way.prefix else body
    options = {"url": url, "body": filled, **way.options} | ({"batch": BATCH} if many else {})
    return Guess(options, f"{url} {json.dumps(filled, sort_keys=True)} {way.form}")


def _prefixed(body: Any, prefix: str) -> Any:
    if isinstance(body, dict):
        return {name: _prefixed(part, prefix) for name, part in body.items()}
    if isinstance(body, list):
        return [_prefixed(part, prefix) for part in body]
    return f"{prefix}{body}" if body == ONE else body


def _described(slot: Slot, ways: list[Way]) -> Iterator[Guess]:
    """Yield what fits the form that a description gives a place in a request."""
    if slot.upload is not None:
        if any(way.depth == 0 for way in ways):
            yield _upload(slot.url, slot.upload, slot.body)
        return
    for way in ways:
        typed = slot.leaf != "integer" or way.whole
        if typed and _fits(slot, way):
            yield _guess(slot.url, slot.body, way)
        if typed and not way.prefix and _fits(slot, way, more=1):
            yield _guess(slot.url, _many(slot.body), way)


def _fits(slot: Slot, way: Way, more: int = 0) -> bool:
    """Say whether a way has the depth that a place asks for; what is described loosely takes anything."""
    if slot.leaf == "":
        return slot.depth == more or (slot.depth > 0 and more == 0 and way.depth > 0)
    if way.depth < 1:
        return slot.depth == more and slot.leaf == ("string" if way.depth == 0 else "object")
    return slot.depth == way.depth + more and slot.leaf in ("number", "integer")


def _tensors(document: Any, url: str, ways: list[Way], task: TaskSpec) -> Iterator[Guess]:
    """Yield Open Inference requests for the tensor that a model's metadata name, whatever its layout and datatype."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        return
    named = {name: inputs[0].get(name) for name in ("name", "datatype")}
    sizes = inputs[0].get("shape")
    if not isinstance(sizes, list) or not all(isinstance(each, str) for each in named.values()):
        return
    for way in ways:
        last = way.options.get("layout") == Layout.HWC.value
        shape = [*task.domain.shape[1:], task.domain.shape[0]] if last else [*task.domain.shape]
        fits = sizes[1:] in (shape, [prod(shape)]) and (way.whole or str(named["datatype"]).startswith("FP"))
        if way.depth == 1 and fits and way.options["encoding"] == Encoding.FLAT.value:
            tensor = {**named, "shape": [1, *sizes[1:]], "data": ONE}
            yield _guess(f"{url.rstrip('/').removesuffix('/infer')}/infer", {"inputs": [tensor]}, way)


def _many(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _many(part) for name, part in body.items()}
    return MANY if body == ONE else body


def _uploads(url: str, task: TaskSpec) -> Iterator[Guess]:
    if len(task.domain.shape) == 3:
        yield from (_upload(url, name, {}) for name in _UPLOADS)


def _upload(url: str, name: str, texts: Mapping[str, Any]) -> Guess:
    written = {"encoding": Encoding.PNG_BASE64.value, "upload": name}
    return Guess({"url": url, **written} | ({"body": dict(texts)} if texts else {}), f"{url} form {name}")


def _whole(url: str, ways: list[Way]) -> Iterator[Guess]:
    """Yield inputs as the whole of the body."""
    for slot in (ONE, MANY):
        yield from (_guess(url, slot, way) for way in ways if not way.prefix)
