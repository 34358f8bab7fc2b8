"""Guessing requests: every usual way to write an input, in every usual body, in the order that hints make likely."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from metav_audit.adapter import Guess, Hints, TabularDomain, TaskSpec
from metav_audit_adapters._described import Path, Slot, slots_in
from metav_audit_adapters._inputs import Encoding, Layout
from metav_audit_adapters._template import MANY, ONE
from metav_audit_adapters._ways import Way, ways_of
from metav_audit_adapters._wishes import Wishes

BATCH = 8
"""Inputs in one request where an API takes a list."""

_PICTURES = ("image", "img", "picture", "file", "data", "input", "inputs", "instances", "x", "content", "payload")
_NUMBERS = ("inputs", "instances", "data", "input", "features", "x", "image", "images", "rows", "records", "values")
_UPLOADS = ("file", "image")
_LISTS = frozenset(
    ("batch", "examples", "images", "inputs", "instances", "items", "observations", "queries", "records", "rows",
     "samples")
)  # fmt: skip
"""Fields that take a list of inputs most often."""


def bodies(task: TaskSpec, url: str, hints: Hints) -> Iterator[Guess]:
    """Yield what an API whose JSON is its own business may take, the likeliest first."""
    wishes, ways = Wishes.of(hints, task.domain.shape), ways_of(task)
    ranked = sorted(ways, key=lambda way: -wishes.points(way))
    for document in hints.documents.values():
        yield from _tensors(document, url, ranked, task)
        for slot in slots_in(document, url, ONE):
            yield from _described(slot, ranked)
    yield from _wished(task, url, wishes, ranked)
    yield from _usual(url, wishes, ranked)
    if len(task.domain.shape) == 3:
        yield from (_upload(url, name, {}) for name in _UPLOADS)
    yield from _whole(url, ranked)


def _wished(task: TaskSpec, url: str, wishes: Wishes, ways: list[Way]) -> Iterator[Guess]:
    """Yield bodies with the fields that refusals name; who misses a table's column wants a row there."""
    cells = [path for path in wishes.paths if path[-1] in _columns(task)]
    for path in dict.fromkeys(path[:-1] for path in cells):
        yield from (_guess(url, _nested(path, ONE), way) for way in ways if way.depth < 0)
    for path in wishes.paths:
        if path not in cells:
            yield from _at(url, path, ways)


def _usual(url: str, wishes: Wishes, ways: list[Way]) -> Iterator[Guess]:
    """Yield bodies with the usual fields: each once with what it holds most often, then with all else."""
    texts, numbers = [[way for way in ways if (way.depth == 0) is written] for written in (True, False)]
    for picture, number in zip(_PICTURES, _NUMBERS, strict=True):
        if (picture,) not in wishes.vain:
            yield from (_guess(url, {picture: ONE}, way) for way in texts[:1])
        if (number,) not in wishes.vain:
            yield from _at(url, (number,), numbers)
    for name in _PICTURES:
        yield from _at(url, (name,), ways)


def _columns(task: TaskSpec) -> set[str]:
    return {column.name for column in task.domain.columns} if isinstance(task.domain, TabularDomain) else set()


def _at(url: str, path: Path, ways: list[Way]) -> Iterator[Guess]:
    """Yield bodies with the input, or a list of inputs, at a path."""
    plural = path[-1].lower() in _LISTS
    if len(path) > 1 and path[-2].lower() in _LISTS:
        yield from (_guess(url, _nested(path[:-1], [{path[-1]: ONE}]), way) for way in ways)
    for slot in (MANY, ONE) if plural else (ONE, MANY):
        for way in ways:
            # A list of texts with something before each is a list of one.
            yield _guess(url, _nested(path, [ONE] if slot == MANY and way.prefix else slot), way)


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


def _upload(url: str, name: str, texts: Mapping[str, Any]) -> Guess:
    written = {"encoding": Encoding.PNG_BASE64.value, "upload": name}
    return Guess({"url": url, **written} | ({"body": dict(texts)} if texts else {}), f"{url} form {name}")


def _whole(url: str, ways: list[Way]) -> Iterator[Guess]:
    """Yield inputs as the whole of the body."""
    for slot in (ONE, MANY):
        yield from (_guess(url, slot, way) for way in ways if not way.prefix)
