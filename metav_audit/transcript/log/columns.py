"""Where in a record of the owner's log the four things stand that are needed of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from metav_audit.errors import ConfigurationError

_PLAIN = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns' names, names joined by dots where one lies within another, or JMESPath; @ is the whole record.

    Attributes:
        time: when the request was answered.
        account: who sent it; a pseudonym will do.
        input: what was sent.
        answer: what was served.
        model: of a log of texts, the version of the model that answered.
        sampler: of a log of texts, how the answer was drawn.
        temperature: of a log of texts, at which.
    """

    time: str = "time"
    account: str = "account"
    input: str = "input"
    answer: str = "answer"
    model: str = "model"
    sampler: str = "sampler"
    temperature: str = "temperature"

    def to_json(self) -> dict[str, str]:
        """Describe the columns in JSON types."""
        return asdict(self)

    def getters(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return by the fields' names what takes each from a record, None where it is not there.

        Raises:
            ConfigurationError: a column is no JMESPath, or JMESPath is not installed.
        """
        return {each.name: _getter(getattr(self, each.name)) for each in fields(self)}


def _getter(column: str) -> Callable[[Mapping[str, Any]], Any]:
    if column == "@":
        return lambda record: record
    if not _PLAIN.fullmatch(column):
        return _jmespath(column)
    first, *rest = column.split(".")
    if not rest:
        return lambda record: record.get(column)

    def within(record: Mapping[str, Any]) -> Any:
        # A file of columns may have one whose name has the dot in it.
        if column in record:
            return record[column]
        value = record.get(first)
        for name in rest:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    return within


def _jmespath(column: str) -> Callable[[Mapping[str, Any]], Any]:
    try:
        import jmespath
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"the column {column!r} is no plain name, and jmespath, which reads such, is not installed: "
            "pip install 'metav-audit[log]'"
        ) from None
    try:
        found: Callable[[Mapping[str, Any]], Any] = jmespath.compile(column).search
    except jmespath.exceptions.JMESPathError as error:
        raise ConfigurationError(f"the column {column!r} is no JMESPath: {' '.join(str(error).split())}") from None
    return found
