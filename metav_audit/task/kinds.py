"""One of several classes, chosen by the ``kind`` in a description in JSON types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from metav_audit.config import nearest
from metav_audit.errors import ConfigurationError


class _Described(Protocol):
    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self: ...


T = TypeVar("T", bound=_Described)


def from_kind(kinds: Mapping[str, type[T]], fields: Mapping[str, Any], what: str) -> T:
    """Build what the fields describe, by the class that their ``kind`` names.

    Args:
        kinds: the classes, by kind.
        fields: ``kind``, and what the class's ``from_json`` takes.
        what: "input" or "output", for messages.

    Raises:
        ConfigurationError: the kind is unknown, or a field is missing or out of range.
    """
    values = dict(fields)
    kind = values.pop("kind", None)
    if kind not in kinds:
        known = ", ".join(kinds)
        raise ConfigurationError(f"{what} kind {kind!r} is unknown: use one of {known}{nearest(str(kind), kinds)}")
    try:
        return kinds[kind].from_json(values)
    except KeyError as error:
        raise ConfigurationError(f"the {kind} {what} is not described rightly: it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the {kind} {what} is not described rightly: {error}") from error
