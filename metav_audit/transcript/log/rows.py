"""Rows of the owner's log: who asked what, when, and what was served; written one way, hashed as written.

A row of the sealed log is one line of canonical JSON: ``account``; ``answer``, a label or the numbers as they were
served; ``at``, the time in UTC; ``input``, what reached the model as the task's domain has it, float32 little-endian in
base64. What does not fit the task is left out with a reason; nothing is guessed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

import numpy as np

from metav_audit.errors import AnswerError, DataError
from metav_audit.task import Answer, Inputs, ScoreKind, TaskSpec, check_answer
from metav_audit.transcript.log.columns import Columns
from metav_audit.transcript.log.inputs import InputReader

LONGEST_ACCOUNT = 200
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How the records of an export are read.

    Attributes:
        task: of the model that was served.
        columns: where things stand in a record.
        scores: in which form the answers were served.
        utc: whether times without a zone are UTC; otherwise they are broken.
        eight_bit: whether pictures given as numbers are 0 .. 255.
    """

    task: TaskSpec
    columns: Columns = field(default_factory=Columns)
    scores: ScoreKind = ScoreKind.PROBABILITY
    utc: bool = False
    eight_bit: bool = False

    def to_json(self) -> dict[str, Any]:
        """Describe the format in JSON types; ``from_json`` reads it back."""
        return {
            "task": self.task.to_json(),
            "columns": self.columns.to_json(),
            "scores": self.scores.value,
            "utc": self.utc,
            "eight_bit": self.eight_bit,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError, ConfigurationError: a field is missing, unknown or misstated.
        """
        own = {**fields, "task": TaskSpec.from_json(fields["task"]), "columns": Columns(**fields["columns"])}
        return cls(**{**own, "scores": ScoreKind(fields["scores"])})


class Row(NamedTuple):
    """One row of the sealed log.

    Attributes:
        account: who asked.
        answer: a label, or the numbers served.
        at: when, in UTC, as written.
        input: float32 bytes, little-endian, of shape ``domain.shape``.
    """

    account: str
    answer: str | list[float]
    at: str
    input: bytes

    @property
    def day(self) -> str:
        """The day, as 2026-11-30."""
        return self.at[:10]

    def to_line(self) -> bytes:
        """Write the row as one line without its end."""
        account, answer, sent = _write(self.account), _write(self.answer), base64.b64encode(self.input).decode()
        return f'{{"account":{account},"answer":{answer},"at":"{self.at}","input":"{sent}"}}'.encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what ``to_line`` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is no such line.
        """
        fields = json.loads(line)
        row = cls(fields["account"], fields["answer"], fields["at"], base64.b64decode(fields["input"], validate=True))
        if row.to_line() != line:
            raise ValueError("not written as this program writes rows")
        return row


class _ProblemError(Exception):
    """Says why a record is broken."""


class RowReader:
    """Makes rows of records, in batches, since domains check many inputs at the price of one."""

    def __init__(self, log: LogFormat) -> None:
        self._log = log
        self._get = log.columns.getters()
        self._inputs = InputReader(log.task.domain, eight_bit=log.eight_bit)
        self._labels = frozenset(log.task.output.labels)
        self._parsers: Mapping[str, Callable[[Any], Any]] = {
            "time": self._time, "account": _account, "answer": self._answer,
        }  # fmt: skip

    def read(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[int, Row | str]]:
        """Yield each record's number with its row, or with why it is left out, in their order."""
        parts = [self._parts(fields) for _, fields in records]
        decoded = iter(self._inputs.read([part["input"] for part in parts if isinstance(part, dict)]))
        for (number, _), part in zip(records, parts, strict=True):
            if isinstance(part, str):
                yield number, part
                continue
            sent = next(decoded)
            if isinstance(sent, str):
                yield number, f"{self._log.columns.input}: {sent}"
            else:
                yield number, Row(part["account"], part["answer"], part["time"], sent)

    def _parts(self, fields: Mapping[str, Any]) -> dict[str, Any] | str:
        """Return all but the input parsed, or why the record is left out."""
        try:
            parts = {name: parse(self._take(fields, name)) for name, parse in self._parsers.items()}
            return {**parts, "input": self._take(fields, "input")}
        except _ProblemError as problem:
            return str(problem)

    def _take(self, fields: Mapping[str, Any], name: str) -> Any:
        value = self._get[name](fields)
        if value is None:
            raise _ProblemError(f"no {getattr(self._log.columns, name)}")
        return value

    def _time(self, value: Any) -> str:
        try:
            if isinstance(value, str):
                value = _moment(value)
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = _EPOCH + timedelta(seconds=value)
            if not isinstance(value, datetime):
                raise ValueError("neither a text nor seconds")
            if value.tzinfo is None:
                if not self._log.utc:
                    raise _ProblemError(f"{self._log.columns.time} has no time zone")
                value = value.replace(tzinfo=UTC)
            return str(value.astimezone(UTC).isoformat()).replace("+00:00", "Z")
        except (ValueError, OverflowError):
            raise _ProblemError(f"{self._log.columns.time} is no time") from None

    def _answer(self, value: Any) -> str | list[float]:
        if isinstance(value, str) and value[:1] in ("[", "{"):
            value = _json(value)
        if self._labels and isinstance(value, str | int) and str(value) in self._labels:
            return str(value)
        space = self._log.task.output
        if isinstance(value, Mapping):
            value = [value.get(label) for label in space.labels]
        try:
            values = np.asarray(value, dtype=np.float64).ravel().tolist()
            check_answer(Answer(tuple(values)), space, self._log.scores)
        except (AnswerError, TypeError, ValueError, OverflowError) as error:
            told = str(error) if isinstance(error, AnswerError) else "neither a label nor numbers"
            raise _ProblemError(f"{self._log.columns.answer}: {told}") from None
        return [float(each) for each in values]


def inputs_of(rows: Sequence[Row], task: TaskSpec) -> Inputs:
    """Return rows' inputs, float32 of shape (n, *domain.shape).

    Raises:
        DataError: one is not as the task has them.
    """
    try:
        stacked = np.frombuffer(b"".join(row.input for row in rows), dtype="<f4").astype(np.float32)
        return task.domain.check(stacked.reshape(len(rows), *task.domain.shape), "the log")
    except ValueError:
        raise DataError("the log's inputs have another shape than the task's: it is another task's log") from None


def _account(value: Any) -> str:
    name = str(value) if isinstance(value, str | int) else ""
    if not 0 < len(name) <= LONGEST_ACCOUNT or not name.isprintable():
        raise _ProblemError(f"the account is no name of 1 to {LONGEST_ACCOUNT} printable characters")
    return name


def _moment(text: str) -> datetime | float:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return float(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
