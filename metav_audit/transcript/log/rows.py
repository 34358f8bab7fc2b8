"""Rows of the owner's log: who asked what, when, and what was served; written one way, hashed as written.

A row of the sealed log is one line of canonical JSON: ``account``; ``answer``, a label or the numbers as they were
served; ``at``, the time in UTC; ``input``, what reached the model as the task's domain has it, float32 little-endian in
base64. In a log of texts ``input`` is the prompt and ``answer`` the text served, as they are, and ``how`` names the
model's version, the sampler and the temperature. What does not fit the task is left out with a reason; nothing is
guessed.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

import numpy as np

from metav_audit.errors import AnswerError, DataError
from metav_audit.task import Answer, Inputs, ScoreKind, TaskSpec, check_answer
from metav_audit.task.texts import check_text
from metav_audit.transcript.log.columns import Columns
from metav_audit.transcript.log.inputs import InputReader

LONGEST_ACCOUNT = 200
HOTTEST = 100.0
"""The highest temperature that is taken for one."""

_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How the records of an export are read.

    Attributes:
        task: of the model that was served; None for a language model: prompts and answers are texts.
        columns: where things stand in a record.
        scores: in which form the answers were served.
        utc: whether times without a zone are UTC; otherwise they are broken.
        eight_bit: whether pictures given as numbers are 0 .. 255.
    """

    task: TaskSpec | None
    columns: Columns = field(default_factory=Columns)
    scores: ScoreKind = ScoreKind.PROBABILITY
    utc: bool = False
    eight_bit: bool = False

    def to_json(self) -> dict[str, Any]:
        """Describe the format in JSON types; ``from_json`` reads it back."""
        return {
            "task": None if self.task is None else self.task.to_json(),
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
        task = None if fields["task"] is None else TaskSpec.from_json(fields["task"])
        own = {**fields, "task": task, "columns": Columns(**fields["columns"])}
        return cls(**{**own, "scores": ScoreKind(fields["scores"])})


class Drawn(NamedTuple):
    """How a text was drawn.

    Attributes:
        model: the model's version.
        sampler: how its next tokens are drawn, in the owner's words.
        temperature: at which; 0 for the likeliest.
    """

    model: str
    sampler: str
    temperature: float


class Row(NamedTuple):
    """One row of the sealed log.

    Attributes:
        account: who asked.
        answer: a label, or the numbers served; of a log of texts, the text.
        at: when, in UTC, as written.
        input: float32 bytes, little-endian, of shape ``domain.shape``; of a log of texts, the prompt in UTF-8.
        how: of a log of texts, how the answer was drawn; None otherwise.
    """

    account: str
    answer: str | list[float]
    at: str
    input: bytes
    how: Drawn | None = None

    @property
    def day(self) -> str:
        """The day, as 2026-11-30."""
        return self.at[:10]

    def to_line(self) -> bytes:
        """Write the row as one line without its end."""
        account, answer = _write(self.account), _write(self.answer)
        if self.how is not None:
            how, prompt = _write(self.how._asdict()), _write(self.input.decode())
            return f'{{"account":{account},"answer":{answer},"at":"{self.at}","how":{how},"input":{prompt}}}'.encode()
        sent = base64.b64encode(self.input).decode()
        return f'{{"account":{account},"answer":{answer},"at":"{self.at}","input":"{sent}"}}'.encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what ``to_line`` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is no such line.
        """
        fields = json.loads(line)
        how = Drawn(**fields["how"]) if "how" in fields else None
        if how is not None and not all(isinstance(fields[name], str) for name in ("input", "answer")):
            raise ValueError("a prompt or an answer is no text")
        sent = base64.b64decode(fields["input"], validate=True) if how is None else fields["input"].encode()
        row = cls(fields["account"], fields["answer"], fields["at"], sent, how)
        if row.to_line() != line:
            raise ValueError("not written as this program writes rows")
        return row


class _ProblemError(Exception):
    """Says why a record is broken."""


class _Reader(ABC):
    """What readers of rows have in common."""

    def __init__(self, log: LogFormat) -> None:
        self._log = log
        self._get = log.columns.getters()

    @abstractmethod
    def read(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[int, Row | str]]:
        """Yield each record's number with its row, or with why it is left out, in their order."""

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


class TextReader(_Reader):
    """Makes rows of records of a language model's log."""

    def read(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[int, Row | str]]:
        """Yield each record's number with its row, or with why it is left out, in their order."""
        for number, fields in records:
            try:
                yield number, self._row(fields)
            except _ProblemError as problem:
                yield number, str(problem)

    def _row(self, fields: Mapping[str, Any]) -> Row:
        at, account = self._time(self._take(fields, "time")), _account(self._take(fields, "account"))
        prompt, answer = self._text(fields, "input"), self._text(fields, "answer")
        if not prompt:
            raise _ProblemError(f"{self._log.columns.input}: the prompt is empty")
        try:
            temperature = float(self._take(fields, "temperature"))
        except (TypeError, ValueError, OverflowError):
            temperature = -1.0
        if not 0 <= temperature <= HOTTEST:
            raise _ProblemError(f"{self._log.columns.temperature} is no temperature, from 0 to {HOTTEST:g}")
        how = Drawn(self._text(fields, "model"), self._text(fields, "sampler"), temperature)
        return Row(account, answer, at, prompt.encode(), how)

    def _text(self, fields: Mapping[str, Any], name: str) -> str:
        try:
            return check_text(self._take(fields, name))
        except DataError as error:
            raise _ProblemError(f"{getattr(self._log.columns, name)}: {error}") from None


class RowReader(_Reader):
    """Makes rows of records, in batches, since domains check many inputs at the price of one."""

    def __init__(self, log: LogFormat, task: TaskSpec) -> None:
        super().__init__(log)
        self._task = task
        self._inputs = InputReader(task.domain, eight_bit=log.eight_bit)
        self._labels = frozenset(task.output.labels)
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

    def _answer(self, value: Any) -> str | list[float]:
        if isinstance(value, str) and value[:1] in ("[", "{"):
            value = _json(value)
        if self._labels and isinstance(value, str | int) and str(value) in self._labels:
            return str(value)
        space = self._task.output
        if isinstance(value, Mapping):
            value = [value.get(label) for label in space.labels]
        try:
            values = np.asarray(value, dtype=np.float64).ravel().tolist()
            check_answer(Answer(tuple(values)), space, self._log.scores)
        except (AnswerError, TypeError, ValueError, OverflowError) as error:
            told = str(error) if isinstance(error, AnswerError) else "neither a label nor numbers"
            raise _ProblemError(f"{self._log.columns.answer}: {told}") from None
        return [float(each) for each in values]


def reader_of(log: LogFormat) -> RowReader | TextReader:
    """Return what reads the records of a log."""
    return TextReader(log) if log.task is None else RowReader(log, log.task)


def inputs_of(rows: Sequence[Row], task: TaskSpec) -> Inputs:
    """Return rows' inputs, float32 of shape (n, *domain.shape).

    Raises:
        DataError: one is not as the task has them.
    """
    if any(row.how is not None for row in rows):
        raise DataError("the log's inputs are texts, and the task's are not: it is a language model's log")
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
