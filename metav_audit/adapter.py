"""The contract an adapter fulfils: encode, decode, classify, flow. An adapter does no I/O.

The client alone sends, waits, counts, retries and journals, so that no adapter can step round the budget.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from metav_audit.domains.base import Inputs
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.outputs import OutputKind, OutputSpace, ScoreKind
from metav_audit.responses import Answer
from metav_audit.task import TaskSpec
from metav_audit.validation import first_problem

ENTRY_POINT_GROUP = "metav_audit.adapters"
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. The client adds the endpoint's own headers, so an adapter never sees a secret."""

    url: str
    content: bytes
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause that a submit-then-poll service asks for before the next request."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, read to its end; header names are lower case.

    ``peer`` says who sent it, as far as the connection tells: ``address`` and, over TLS, ``tls_certificate_sha256``.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    peer: Mapping[str, str] = field(default_factory=dict)


class Outcome(StrEnum):
    """What a response means for the client."""

    OK = "ok"
    THROTTLED = "throttled"
    """Ask again later, and more slowly."""
    TRANSIENT = "transient"
    """Ask again: the fault is the server's and may pass."""
    AUTH = "auth"
    """The credentials are refused; asking again is of no use."""
    FATAL = "fatal"
    """The request is refused for what it is; asking again is of no use."""


class AdapterOptions(BaseModel):
    """What every adapter is told in an endpoint file; an adapter adds its own fields by subclassing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="where the API is", pattern=r"^https?://")
    scores: ScoreKind = Field(default=ScoreKind.PROBABILITY, description="the kind of score the API returns")
    batch: int = Field(default=1, ge=1, le=1024, description="queries in one request")


class Adapter(ABC):
    """One remote protocol's codec.

    A subclass sets ``name`` and ``summary``, may set ``Options`` to a subclass of AdapterOptions, and is
    announced as an entry point of the group ``metav_audit.adapters``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[AdapterOptions]] = AdapterOptions

    def __init__(self, task: TaskSpec, options: AdapterOptions) -> None:
        self.task = task
        self.options = options

    @classmethod
    def open(cls, task: TaskSpec, fields: Mapping[str, Any]) -> Self:
        """Check ``fields`` against ``Options`` and build the adapter.

        Where the task is no classification, ``scores`` is "value" unless the fields say otherwise.

        Raises:
            ConfigurationError: a field is missing, unknown or out of range, or does not fit the task.
        """
        usual = {} if task.output.kind is OutputKind.CLASSIFICATION else {"scores": task.output.score_kinds[0]}
        try:
            options = cls.Options.model_validate({**usual, **fields})
            task.output.check_kind(options.scores)
        except ValidationError as error:
            raise ConfigurationError(f"adapter {cls.name}: {first_problem(error)}") from None
        except AnswerError as error:
            raise ConfigurationError(f"adapter {cls.name}: {error}") from None
        return cls(task, options)

    @property
    def steps(self) -> int:
        """Requests that one batch takes at most, retries aside; override it where ``flow`` sends several."""
        return 1

    @abstractmethod
    def encode(self, inputs: Inputs) -> Request:
        """Write inputs of shape (batch, *domain.shape) as one request."""

    @abstractmethod
    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read ``count`` answers from a response.

        Raises:
            AnswerError: the response does not hold them.
        """

    def classify(self, response: Response) -> Outcome:
        """Say what a response means; override it where a protocol's status codes mislead."""
        status = response.status
        if 200 <= status < 300:
            return Outcome.OK
        if status in (401, 403, 407):
            return Outcome.AUTH
        if status == 429:
            return Outcome.THROTTLED
        if status in (408, 425, 500, 502, 503, 504):
            return Outcome.TRANSIENT
        return Outcome.FATAL

    def flow(self, inputs: Inputs) -> Generator[Request | Wait, Response, list[Answer]]:
        """Yield requests, be sent their OK responses, and return the answers, one an input."""
        response = yield self.encode(inputs)
        return self.decode(response, len(inputs))


def read_json(response: Response) -> Any:
    """Parse a response's body as JSON.

    Raises:
        AnswerError: the body is empty, HTML, or otherwise not JSON.
    """
    if not response.content.strip():
        raise AnswerError("the endpoint answered with an empty body: is the URL the API's own?")
    try:
        return parse(response.content)
    except (ValueError, RecursionError):
        start = response.content.lstrip()[:1]
        what = "HTML" if start == b"<" else "something that is not JSON"
        raise AnswerError(f"the endpoint answered with {what}: is the URL the API's own?") from None


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
    if space is None or space.kind is OutputKind.CLASSIFICATION:
        return [read_scores(row) for row in rows]
    return [read_values(row, space.size) for row in rows]


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
