"""Reading an API's own description, OpenAPI in JSON: which addresses it has, and what a request to one looks like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_DEEPEST = 6
_MOST_SLOTS = 40
_MOST_FILLED = 16
"""Parts of a request that are filled in because they must be there."""
_MOST_PATHS = 200
_JSON, _FORM = "application/json", "multipart/form-data"

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a request where the input may belong.

    Attributes:
        url: the address that takes the request.
        body: the request, with ``slot`` in that place and something plain in others that must be there.
        depth: how deep a list stands there; 0 for none.
        leaf: what its elements are: "number", "integer", "string", "object", or "" where it is not said.
        upload: the form's file field, or None where the request is JSON.
    """

    url: str
    body: Any
    depth: int
    leaf: str
    upload: str | None = None


def slots_in(document: Any, url: str, slot: str) -> Iterator[Slot]:
    """Yield where the input may belong in requests to ``url``, or to any address if the description lacks that one.

    Args:
        document: what may be an OpenAPI description; a stranger wrote it.
        url: the address that was given.
        slot: what stands for the input.
    """
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        return
    found = {path: each for path, each in list(paths.items())[:_MOST_PATHS] if isinstance(each, dict)}
    here = urlsplit(url).path.rstrip("/")
    exact = [path for path in found if here and here.endswith(path.rstrip("/")) and path.strip("/")]
    root = here in ("", "/")
    for path in exact or (found if root else ()):
        content = _at(found[path], "post", "requestBody", document=document).get("content")
        address = url if exact else urlunsplit((*urlsplit(url)[:2], path, "", ""))
        if isinstance(content, dict) and "{" not in path:
            yield from _slots(content, address, slot, document)


def polled_at(document: Any) -> Iterator[str]:
    """Yield paths of an OpenAPI description that are got and have one parameter, written as ``{}``."""
    paths = document.get("paths") if isinstance(document, dict) else None
    for path, each in list(paths.items())[:_MOST_PATHS] if isinstance(paths, dict) else ():
        if isinstance(each, dict) and "get" in each and path.count("{") == path.count("}") == 1:
            before, _, rest = path.partition("{")
            yield f"{before}{{}}{rest.partition('}')[2]}"


def _slots(content: Mapping[str, Any], url: str, slot: str, document: Any) -> Iterator[Slot]:
    for kind in [kind for kind in (_JSON, _FORM) if kind in content]:
        schema = _at(content.get(kind), "schema", document=document)
        for number, path in enumerate(_paths(schema, document)):
            if number >= _MOST_SLOTS:
                break
            depth, leaf = _form(_follow(schema, path, document), document)
            if kind == _JSON:
                yield Slot(url, _filled(schema, path, slot, document), depth, leaf)
            elif leaf == "string" and len(path) == 1:
                others = _filled(schema, path, slot, document)
                texts = {name: str(value) for name, value in others.items() if name != path[0]}
                yield Slot(url, texts, depth, leaf, path[0])


def _paths(schema: Any, document: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths to what a request holds: the whole first, and what must be there before what need not."""
    yield path
    properties = _properties(schema)
    required = _required(schema)
    for name in sorted(properties, key=lambda name: (name not in required, _plain(properties[name], document))):
        if len(path) < _DEEPEST:
            yield from _paths(_resolved(properties[name], document), document, (*path, name))


def _plain(schema: Any, document: Any) -> bool:
    """Say whether a part is nothing that takes an input: a number, or one of a few texts."""
    found = _resolved(schema, document)
    return _type(found) in ("integer", "number", "boolean") or "enum" in found or "default" in found


def _form(schema: Any, document: Any) -> tuple[int, str]:
    depth = 0
    while _type(schema) == "array" and depth < _DEEPEST:
        schema, depth = _resolved(schema.get("items"), document), depth + 1
    return depth, _type(schema)


def _filled(schema: Any, path: Path, slot: str, document: Any) -> Any:
    """Return a request with the slot at a path, and a plain value for every other part that must be there."""
    if not path:
        return slot
    properties = _properties(schema)
    filled = {}
    for name in dict.fromkeys([*_required(schema)[:_MOST_FILLED], path[0]]):
        part = _resolved(properties.get(name), document)
        filled[name] = _filled(part, path[1:], slot, document) if name == path[0] else _value(part, document)
    return filled


def _value(schema: Mapping[str, Any], document: Any, depth: int = 0) -> Any:
    """Return a value that a part of a request may have."""
    for key in ("default", "const", "example"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    if _type(schema) == "object" and depth < 1:
        properties = _properties(schema)
        names = [name for name in _required(schema)[:_MOST_FILLED] if name in properties]
        return {name: _value(_resolved(properties[name], document), document, depth + 1) for name in names}
    least = schema.get("minimum")
    number = least if isinstance(least, int | float) else 1
    return {"string": "1", "integer": number, "number": number, "boolean": True, "array": []}.get(_type(schema))


def _follow(schema: Any, path: Path, document: Any) -> dict[str, Any]:
    for name in path:
        schema = _resolved(_properties(schema).get(name), document)
    return schema if isinstance(schema, dict) else {}


def _at(node: Any, *keys: str, document: Any) -> dict[str, Any]:
    for key in keys:
        node = _resolved(node.get(key) if isinstance(node, dict) else None, document)
    return node if isinstance(node, dict) else {}


def _properties(schema: Any) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return {name: part for name, part in properties.items() if name} if isinstance(properties, dict) else {}


def _required(schema: Any) -> list[str]:
    required = schema.get("required") if isinstance(schema, dict) else None
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def _type(schema: Any) -> str:
    found = schema.get("type") if isinstance(schema, dict) else None
    if found is None and _properties(schema):
        return "object"
    return found if isinstance(found, str) else ""


def _resolved(schema: Any, document: Any) -> dict[str, Any]:
    """Follow references within the document, and take the first of several schemas that is not null."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            return {}
        several = next((schema[key] for key in ("anyOf", "oneOf", "allOf") if isinstance(schema.get(key), list)), None)
        if several is not None:
            schema = next((each for each in several if isinstance(each, dict) and each.get("type") != "null"), None)
            continue
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = document
        for step in reference.removeprefix("#/").split("/"):
            schema = schema.get(step) if isinstance(schema, dict) else None
    return {}
