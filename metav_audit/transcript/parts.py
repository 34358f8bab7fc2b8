"""The parts of a record: each read from JSON with its kind and its bounds, or refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from metav_audit.task import Answer
from metav_audit.transcript.bodies import Place, is_place

MAX_QUERIES = 1_000_000
MAX_NUMBER = 1 << 53
_HASH, _NONCE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


def moment(text: Any) -> datetime:
    """Read a time, ISO 8601 with its offset.

    Raises:
        ValueError: it is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError("its time") from None
    if read.tzinfo is None:
        raise ValueError("its time, which has no offset")
    return read


def time_of(fields: Mapping[str, Any]) -> str:
    """Take the time that a record was written, as it stands there."""
    moment(fields["at"])
    return str(fields["at"])


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """Take a text."""
    value = fields[name]
    if not isinstance(value, str):
        raise ValueError(f"its {name}, which is no text")
    return value


def perhaps_text(fields: Mapping[str, Any], name: str) -> str | None:
    """Take a text, or null or nothing at all."""
    return None if fields.get(name) is None else text_of(fields, name)


def hash_of(fields: Mapping[str, Any], name: str) -> str:
    """Take a SHA-256 in hexadecimal."""
    value = fields[name]
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(f"its {name}, which is no hash")
    return value


def nonce_of(fields: Mapping[str, Any], name: str) -> str:
    """Take a nonce, 32 hexadecimal digits."""
    value = fields[name]
    if not isinstance(value, str) or not _NONCE.fullmatch(value):
        raise ValueError(f"its {name}: 32 hexadecimal digits")
    return value


def perhaps_hash(fields: Mapping[str, Any], name: str) -> str | None:
    """Take a SHA-256, or null or nothing at all."""
    return None if fields.get(name) is None else hash_of(fields, name)


def whole_of(fields: Mapping[str, Any], name: str, least: int, most: int = MAX_NUMBER) -> int:
    """Take a whole number within bounds."""
    value = fields[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"its {name}, a whole number from {least} to {most}")
    return value


def seconds_of(fields: Mapping[str, Any], name: str) -> float:
    """Take a duration."""
    value = fields[name]
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"its {name}, in seconds")
    return float(value) if type(value) is float else value


def words_of(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """Take texts by name."""
    value = fields[name]
    if not isinstance(value, dict) or not all(isinstance(words, str) for words in value.values()):
        raise ValueError(f"its {name}'s words")
    return value


def queries_of(fields: Mapping[str, Any]) -> tuple[int, ...]:
    """Take the numbers of queries, each named once."""
    values = fields["queries"]
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise ValueError("the queries it is about")
    if len(set(values)) < len(values):
        raise ValueError("the queries it is about: one is named twice")
    return tuple(values)


def looks_of(fields: Mapping[str, Any]) -> tuple[int, ...]:
    """Take the queries before each look: whole numbers that rise, from 1."""
    values = fields["looks"]
    if not isinstance(values, list) or not values or any(type(value) is not int for value in values):
        raise ValueError("its looks")
    if values[0] < 1 or any(one >= other for one, other in pairwise(values)):
        raise ValueError("its looks, which do not rise")
    return tuple(values)


def place_of(fields: Mapping[str, Any], name: str) -> Place:
    """Take where a body lies."""
    if not is_place(fields[name]):
        raise ValueError("where its headers or body lie")
    start, size = fields[name]
    return start, size


def answers_of(fields: Mapping[str, Any]) -> tuple[Answer, ...] | None:
    """Take the answers, if there are any; scores stay as they were written."""
    given = fields.get("answers")
    if given is None:
        return None
    if not isinstance(given, list):
        raise ValueError("its answers, which are no list")
    return tuple(map(_answer, given))


def _answer(scores: Any) -> Answer:
    answer = Answer(tuple(scores))
    answer.in_floats()
    return answer
