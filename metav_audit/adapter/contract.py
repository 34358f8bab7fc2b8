"""The contract an adapter fulfils: encode, decode, classify, flow. An adapter does no I/O.

The client alone sends, waits, counts, retries and journals, so that no adapter can step round the budget.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metav_audit.config import first_problem
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import Answer, Inputs, ScoreKind, TaskSpec
from metav_audit.task.texts import TextDomain

_READ_BYTES = 4096
_NOT_YET = re.compile(
    rb"(?i)\b(?:not (?:yet |currently )?(?:ready|loaded|warm|running)|not available yet|initiali[sz]ing|waking up|"
    rb"load(?:ing)? in progress|default backend|(?:still|currently|being) (?:loading|starting|"
    rb"loaded|started|deployed|scaled|provisioned|warming)|(?:is|are) (?:loading|starting|warming|scaling|waking)|"
    rb"cold.?start|scaled? (?:up )?from zero|scaled to (?:zero|0)|warming up|try again (?:later|shortly|in a|soon))\b"
)

ENTRY_POINT_GROUP = "metav_audit.adapters"


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request of a probe that was refused.

    Attributes:
        options: with which it was written.
        text: the response's body, shortened; a stranger wrote it.
    """

    options: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What a probe knows of an API so far.

    Attributes:
        documents: what the API says of itself, parsed JSON by address; a stranger wrote it.
        refusals: what it refused, the first first.
    """

    documents: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Guess:
    """Options that a probe may try.

    Attributes:
        options: the adapter's options, without what says where an answer lies.
        form: what the request looks like; guesses of one form differ in how an input's numbers are written.
    """

    options: Mapping[str, Any]
    form: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the answers may lie in a response.

    Attributes:
        options: the adapter's options that say so; the kind of score is found by trying.
        labels: the labels that the API names there, in its own words; None where it names none.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None


class Adapter(ABC):
    """One remote protocol's codec.

    A subclass sets ``name`` and ``summary``, may set ``Options`` to a subclass of AdapterOptions, and is
    announced as an entry point of the group ``metav_audit.adapters``. With ``guesses``, and where need be
    ``described_at``, ``places``, ``follow`` and ``misfit``, ``metav-audit probe`` finds it; all five are pure, too.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[AdapterOptions]] = AdapterOptions
    texts: ClassVar[bool] = False
    """Whether it takes passages of text, which are no arrays of numbers."""

    def __init__(self, task: TaskSpec, options: AdapterOptions) -> None:
        self.task = task
        self.options = options

    @classmethod
    def open(cls, task: TaskSpec, fields: Mapping[str, Any], beside: Collection[str] = ()) -> Self:
        """Check ``fields`` against ``Options`` and build the adapter.

        ``beside`` names keys that others read, one of which may have been meant by an unknown one.

        Where the task is no classification, ``scores`` is "value" unless the fields say otherwise. Tables are taken in
        their keys' order, as evidence keeps them: who replays an audit writes the same requests.

        Raises:
            ConfigurationError: a field is missing, unknown or out of range, or does not fit the task.
        """
        if isinstance(task.domain, TextDomain) and not cls.texts:
            raise ConfigurationError(f"adapter {cls.name}: it takes no texts: openai-logprobs and json-template do")
        usual = {} if task.output.labelled else {"scores": task.output.score_kinds[0]}
        try:
            options = cls.Options.model_validate(_in_order({**usual, **fields}))
            task.output.check_kind(options.scores)
        except ValidationError as error:
            problem = first_problem(error, model=cls.Options, beside=beside)
            raise ConfigurationError(f"adapter {cls.name}: {problem}") from None
        except AnswerError as error:
            raise ConfigurationError(f"adapter {cls.name}: {error}") from None
        return cls(task, options)

    @property
    def steps(self) -> int:
        """Requests that one batch takes at most, retries aside; override it where ``flow`` sends several."""
        return 1

    @property
    def advice(self) -> str:
        """What to do where the endpoint refuses a request for what it asks; override it to name what it may be."""
        return "check url, model and the adapter's options"

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
        # Who scales from zero may refuse whatever comes first, in words alone.
        if 400 <= status < 500 and status != 401 and _NOT_YET.search(response.content[:_READ_BYTES]):
            return Outcome.TRANSIENT
        if status in (401, 403, 407):
            return Outcome.AUTH
        if status in (420, 429):
            return Outcome.THROTTLED
        # Gateways have numbers of their own between 500 and 599; but 501, 505 and 511 say that this never works.
        if status in (408, 425) or (500 <= status < 600 and status not in (501, 505, 511)):
            return Outcome.TRANSIENT
        return Outcome.FATAL

    def flow(self, inputs: Inputs) -> Generator[Request | Wait, Response, list[Answer]]:
        """Yield requests, be sent their OK responses, and return the answers, one an input."""
        response = yield self.encode(inputs)
        return self.decode(response, len(inputs))

    @classmethod
    def described_at(cls, url: str) -> tuple[str, ...]:
        """Return addresses at which an API of this protocol describes itself, to be fetched by GET; none by default."""
        del url
        return ()

    @classmethod
    def guesses(cls, task: TaskSpec, url: str, hints: Hints) -> Iterator[Guess]:
        """Yield options with which an API at ``url`` might take the task's inputs, the likeliest first.

        Called again whenever more is known. By default there are none, and ``probe`` leaves the adapter out.
        """
        del task, url, hints
        yield from ()

    @classmethod
    def misfit(cls, task: TaskSpec, documents: Mapping[str, Any]) -> str:
        """Say why the task's inputs cannot be what an API's own descriptions want; by default nothing is known.

        ``documents`` are those of ``Hints``.
        """
        del task, documents
        return ""

    def places(self, response: Response, count: int) -> Iterator[Place]:
        """Yield places where a response may hold ``count`` answers; by default the one that the protocol knows."""
        del response, count
        yield Place()

    def follow(self, response: Response, hints: Hints) -> Generator[Request | Wait, Response, Mapping[str, Any] | None]:
        """Look for the answer elsewhere, where a good response holds none: yield requests, be sent what came back.

        Returns:
            The further options with which ``flow`` finds the answer that came last, or None, as by default.
        """
        del response, hints
        yield from ()
        return None


def _in_order(value: Any) -> Any:
    """Return JSON types with every table's keys in order."""
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return list(map(_in_order, value)) if isinstance(value, list) else value
