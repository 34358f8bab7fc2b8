"""Readers that adapters share: JSON bodies, rows of numbers, nested tensors."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from metav_audit.adapter.contract import Response
from metav_audit.errors import AnswerError
from metav_audit.task import Answer, OutputSpace

_MAX_DEPTH = 8
_SAID = ("error", "errors", "detail", "message", "Message", "msg")
_MOST_SAID = 200
_MOST_WRAPPED = 4


def read_json(response: Response) -> Any:
    """Parse a response's body as JSON; of an event stream, what its last event holds.

    Raises:
        AnswerError: the body is empty, HTML, or otherwise not JSON, or an object in it names one key twice.
    """
    content = response.content
    if not content.strip():
        raise AnswerError("the endpoint answered with an empty body: is the URL the API's own?")
    if content.lstrip().startswith((b"data:", b"event:", b"id:", b"retry:", b": ")):
        content = _last_event(content)
    try:
        return parse_once(content)
    except (ValueError, RecursionError) as error:
        start = content.lstrip()[:1]
        where = f" ({error.msg} at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        what = "HTML" if start == b"<" else f"something that is not JSON{where}"
        raise AnswerError(f"the endpoint answered with {what}: is the URL the API's own?") from None


def parse_once(content: bytes) -> Any:
    """Parse JSON whose objects name each key once.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
        AnswerError: an object names one key twice.
    """
    body = parse(content)
    # Each key has a colon: where there are no more colons than keys no key went missing, as most often.
    if content.count(b":") != _keys(body):
        json.loads(content, object_pairs_hook=_distinct)
    return body


def _last_event(content: bytes) -> bytes:
    """Return the data of the last event of a stream that has some (WHATWG HTML, section 9.2), but for "[DONE]"."""
    last: list[bytes] = []
    for event in content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        lines = [line.partition(b":") for line in event.splitlines()]
        data = [value.removeprefix(b" ") for name, _, value in lines if name == b"data"]
        if data and data != [b"[DONE]"]:
            last = data
    return b"\n".join(last)


def said_in(body: Any) -> str:
    """Return what a JSON body, parsed, says in words of an error, its first line; empty where it says nothing.

    >>> said_in({"error": {"message": "no such model"}}), said_in([0.1, 0.9])
    ('no such model', '')
    """
    said = False
    for _ in range(_MOST_WRAPPED):
        if isinstance(body, list) and body:
            body = body[0]
        elif isinstance(body, dict):
            said, body = True, next((body[key] for key in _SAID if body.get(key)), None)
    lines = body.strip().splitlines() if said and isinstance(body, str) else []
    return " ".join(lines[0].split())[:_MOST_SAID] if lines else ""


def parse(content: bytes) -> Any:
    """Parse JSON as Python's own parser does, in a seventh of the time.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
    """
    try:
        return from_json(content)
    except ValueError:  # Python's takes more than UTF-8: a byte order mark, UTF-16.
        return json.loads(content)


def _keys(value: Any) -> int:
    """Count the keys of all objects, but for those in a list that begins with something plain."""
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) and value and isinstance(value[0], dict | list) else 0


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) != len(pairs):
        raise AnswerError("an object in the response names one key or label twice")
    return distinct


def read_scores(values: Any) -> Answer:
    """Read one row of JSON numbers (or nulls, for classes not shown) as an answer.

    Raises:
        AnswerError: it is not a list of numbers.
    """
    if isinstance(values, list) and set(map(type, values)) == {float}:
        return Answer(tuple(values))
    if not isinstance(values, list) or not all(_is_score(value) for value in values):
        raise AnswerError("an answer is not a list of numbers: check where the answer lies in the response")
    try:
        return Answer(tuple(None if value is None else float(value) for value in values))
    except OverflowError:
        raise AnswerError("an answer holds a whole number too large for a score") from None


def flatten(data: Any) -> list[Any]:
    """Return the elements of a list that may be flat or nested, in row-major order.

    Raises:
        AnswerError: it is no list, ragged in depth, or nested deeper than any tensor.
    """
    for _ in range(_MAX_DEPTH):
        if not isinstance(data, list):
            raise AnswerError(f"an output's data is not a list but {type(data).__name__}")
        nested = [isinstance(part, list) for part in data]
        if not any(nested):
            return data
        if not all(nested):
            raise AnswerError("an output's data is ragged: numbers stand beside lists")
        data = [element for part in data for element in part]
    raise AnswerError(f"an output's data is nested more than {_MAX_DEPTH} deep")


def read_values(values: Any, size: int) -> Answer:
    """Read a JSON number, or a list of ``size`` numbers in whatever nesting, row by row, as an answer.

    Raises:
        AnswerError: it is neither, or has another length.
    """
    flat = flatten(values) if isinstance(values, list) else [values]
    if len(flat) != size:
        raise AnswerError(f"an answer has {len(flat)} numbers, the task has {size} values")
    return read_scores(flat)


def read_rows(rows: Any, count: int, space: OutputSpace | None = None) -> list[Answer]:
    """Read a JSON list of ``count`` rows of numbers as answers.

    Args:
        rows: the list.
        count: how many there must be.
        space: the task's outputs; scores of a classification if None.

    Raises:
        AnswerError: it is not a list, or has another length.
    """
    if not isinstance(rows, list):
        raise AnswerError(f"the answers are not a list but {type(rows).__name__}")
    if len(rows) != count:
        raise AnswerError(f"{count} inputs were sent, {len(rows)} answers came back")
    if space is None or space.labelled:
        return [read_scores(row) for row in rows]
    return [read_values(row, space.size) for row in rows]


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
