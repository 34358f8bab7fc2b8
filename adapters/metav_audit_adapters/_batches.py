"""Which answer of a batch belongs to which input."""

from __future__ import annotations

from typing import Any

from metav_audit.adapter import AnswerError

_INDICES = frozenset(("id", "idx", "index", "input_index", "instance", "instance_id", "position", "row"))


def by_index(rows: Any, key: str, count: int) -> list[Any]:
    """Return a batch's answers in the order of its inputs, whose numbers, from 0 or from 1, they name under ``key``.

    Raises:
        AnswerError: they are no list of ``count`` objects that name each input once.
    """
    rows = rows if isinstance(rows, list) else []
    found = [row.get(key) if isinstance(row, dict) else None for row in rows]
    numbers = [int(each) if isinstance(each, str) and each.isdecimal() else each for each in found]
    placed = {number: row for number, row in zip(numbers, rows, strict=False) if type(number) is int}
    for first in (0, 1):
        if len(rows) == count and placed.keys() == {*range(first, first + count)}:
            return [placed[number] for number in range(first, first + count)]
    raise AnswerError(f"{count} inputs were sent, and the answers' {key!r} do not name each of them once: {found[:8]}")


def check_order(rows: list[Any], label_key: str) -> None:
    """Raise AnswerError where answers seem to name their inputs in another order than they were sent.

    Args:
        rows: a batch's answers.
        label_key: a key that is the label's, whatever its name.
    """
    if len(rows) < 2 or not all(isinstance(row, dict) for row in rows):
        return
    for key in sorted(_INDICES - {label_key}):
        numbers = [row.get(key) for row in rows]
        if not all(type(each) is int for each in numbers) or numbers == sorted(numbers):
            continue
        if max(numbers) - min(numbers) + 1 == len({*numbers}) == len(rows):
            raise AnswerError(
                f"the answers of a batch come in another order: declare index_key = {key!r}, or batch = 1"
            )
