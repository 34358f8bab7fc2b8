"""Where answers may lie in a foreign response: every place that has the form of one of the answers that are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice, product
from typing import Any

from metav_audit.adapter import AnswerError, Place, ScoreKind, TaskSpec, flatten
from metav_audit_adapters._numbers import NUMBER
from metav_audit_adapters._paths import is_plain, unwrapped
from metav_audit_adapters._rows import are_pairs, is_label

_MOST_NODES = 3000
_DEEPEST = 8
_MOST_PLACES = 60
_MOST_LABELS = 10_000
_HANDLES = frozenset(
    ("id", "uuid", "job", "ticket", "task", "token", "url", "href", "link", "location", "state", "status", "phase",
     "model", "version", "request", "message", "time", "date", "timestamp", "unit", "success", "ok", "code")
)  # fmt: skip
"""Keys of texts that accompany an answer and are none."""


def find_places(body: Any, task: TaskSpec, count: int, *, many: bool) -> Iterator[Place]:
    """Yield places that may hold ``count`` answers of a task, those nearest to the top first.

    Args:
        body: the parsed response.
        task: what the answers are of.
        count: how many inputs were sent.
        many: whether the answers are a list, as inputs were; otherwise the place holds the one answer itself.
    """
    return islice(_places(body, task, count, many=many), _MOST_PLACES)


def _places(body: Any, task: TaskSpec, count: int, *, many: bool) -> Iterator[Place]:
    for path, node in _nodes(body):
        if path and _is_handle(path[-1]):
            continue
        rows = node if many else [node]
        if isinstance(rows, list) and len(rows) == count:
            answer = {"answer": ".".join(path)}
            for place in _readings(rows, task):
                yield Place(answer | dict(place.options), place.labels)


def _nodes(body: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every part of a response that a dotted path leads to, level by level."""
    open_: deque[tuple[tuple[str, ...], Any]] = deque([((), unwrapped(body))])
    seen = 0
    while open_ and seen < _MOST_NODES:
        path, node = open_.popleft()
        seen += 1
        yield path, node
        if len(path) < _DEEPEST:
            open_.extend(((*path, step), part) for step, part in _parts(node))


def _is_handle(key: str) -> bool:
    """Say whether a key is that of a number, an address or a state of the request, and not of its answer."""
    words = key.lower().replace("-", "_").split("_")
    return words[-1] in _HANDLES or key.endswith(("Id", "Url", "At"))


def _parts(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        yield from ((key, unwrapped(part)) for key, part in node.items() if key and is_plain(key))
    elif isinstance(node, list):
        yield from ((str(at), unwrapped(part)) for at, part in enumerate(node[:_MOST_NODES]))


def _readings(rows: list[Any], task: TaskSpec) -> Iterator[Place]:
    if not task.output.labelled:
        if all(_is_value(row, task) for row in rows):
            yield Place()
        return
    if all(isinstance(row, list) for row in rows):
        yield from _lists(rows, task)
    elif all(isinstance(row, dict) for row in rows):
        yield from _objects(rows)
    elif all(isinstance(row, str | int) and not isinstance(row, bool) for row in rows):
        yield Place({"scores": ScoreKind.LABEL.value}, _distinct(rows))


def _is_value(row: Any, task: TaskSpec) -> bool:
    """Say whether a part of a response can be an answer of values: so many numbers, named ones, or a picture."""
    size, labels = task.output.size, task.output.labels
    if isinstance(row, dict):
        return bool(labels) and set(row) == set(labels) and all(map(_is_number, row.values()))
    if isinstance(row, list):
        try:
            return len(row) <= size and len(flatten(row)) == size and all(map(_is_number, flatten(row)))
        except AnswerError:
            return False
    return _is_number(row) if size == 1 else isinstance(row, str) and len(row) > size // 8


def _lists(rows: list[list[Any]], task: TaskSpec) -> Iterator[Place]:
    parts = [part for row in rows for part in row]
    if not parts:
        return
    if all(isinstance(part, dict) for part in parts):
        for label_key, score_key in _keys(parts):
            yield _labelled(label_key, score_key, [part[label_key] for part in parts])
    elif all(map(are_pairs, rows)):
        yield Place({}, _distinct(label for label, _ in parts))
    elif all(len(row) == task.output.size for row in rows) and all(map(_is_number, parts)):
        yield Place()


def _objects(rows: list[dict[str, Any]]) -> Iterator[Place]:
    """Read objects of labels and scores, of two parallel lists, or of one label with its score."""
    if all(row and all(map(_is_number, row.values())) for row in rows):
        yield Place({}, _distinct(key for row in rows for key in row))
    for label_key, score_key in _list_keys(rows):
        yield _labelled(label_key, score_key, [label for row in rows for label in row[label_key]])
    for label_key, score_key in _keys(rows):
        yield _labelled(label_key, score_key, [row[label_key] for row in rows])


def _labelled(label_key: str, score_key: str, labels: list[Any]) -> Place:
    return Place({"label_key": label_key, "score_key": score_key}, _distinct(labels))


def _keys(parts: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield pairs of keys under which every object has a label and a number, texts before numbers as labels."""
    shared = [key for key in parts[0] if all(key in part for part in parts)]
    texts = [key for key in shared if all(isinstance(part[key], str) for part in parts)]
    whole = [key for key in shared if all(type(part[key]) is int for part in parts)]
    numbers = [key for key in shared if all(_is_number(part[key]) for part in parts)]
    yield from ((label, score) for label, score in product([*texts, *whole], numbers) if label != score)


def _list_keys(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield pairs of keys under which every object has a list of labels and as long a list of numbers."""
    shared = [key for key in rows[0] if all(isinstance(row.get(key), list) and row[key] for row in rows)]
    labels = [key for key in shared if all(is_label(part) for row in rows for part in row[key])]
    numbers = [key for key in shared if all(_is_number(part) for row in rows for part in row[key])]
    for label, score in product(labels, numbers):
        if label != score and all(len(row[label]) == len(row[score]) for row in rows):
            yield label, score


def _is_number(part: Any) -> bool:
    if isinstance(part, str):
        return NUMBER.fullmatch(part) is not None
    return isinstance(part, int | float) and not isinstance(part, bool)


def _distinct(labels: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(islice(map(str, labels), _MOST_LABELS)))
