"""Every other JSON API: a template with a slot for the input, and a path to the answer; polled where it wants that."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, ClassVar, Self
from urllib.parse import quote, urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metav_audit.adapter import (
    Answer,
    AnswerError,
    Guess,
    Hints,
    Inputs,
    Outcome,
    Place,
    Request,
    Response,
    TaskSpec,
    Wait,
    read_json,
)
from metav_audit_adapters._guesses import bodies
from metav_audit_adapters._jobs import TICKET, is_under_way, look_for_result
from metav_audit_adapters._paths import walk
from metav_audit_adapters._template import JsonPath, TemplateAdapter, TemplateOptions


class Poll(BaseModel):
    """How the result of a submitted request is fetched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticket: JsonPath = Field(description="path, in the answer to the request, to the job's number or address")
    url: str = Field(TICKET, description="the address to poll, with {{ticket}} for what stood at that path")
    done: JsonPath = Field(description="path, in a poll's answer, to what says whether the job is done")
    equals: str | bool | int | None = Field(None, description="what stands there when it is done; anything if absent")
    failed: tuple[str, ...] = Field((), description="texts that stand there when the job has failed")
    pending: tuple[int, ...] = Field((404,), description="statuses that a poll answers until the job is done")
    every_s: float = Field(2.0, description="seconds between polls", gt=0, le=120)
    at_most: int = Field(30, description="polls before the query is given up", ge=1, le=1000)

    @model_validator(mode="after")
    def _ticket_is_used(self) -> Self:
        if TICKET not in self.url:
            raise ValueError(f'url: put "{TICKET}" where the job\'s number belongs')
        return self


class JsonTemplateOptions(TemplateOptions):
    """What a JSON API without a protocol of its own is told."""

    poll: Poll | None = Field(None, description="a table: how to fetch the result, where a request only submits a job")

    @model_validator(mode="after")
    def _polls_its_own_host(self) -> Self:
        if self.poll is not None and urlsplit(urljoin(self.url, self.poll.url))[:2] != urlsplit(self.url)[:2]:
            raise ValueError("poll.url: it must be on the host of url, the only one that is asked")
        return self


class JsonTemplate(TemplateAdapter):
    """Fills a template with inputs, polls if need be, and reads the scores at a path of the response."""

    name: ClassVar[str] = "json-template"
    summary: ClassVar[str] = "any other JSON API: a template or form for the request, a path to the answer, polling"
    Options: ClassVar[type[JsonTemplateOptions]] = JsonTemplateOptions
    options: JsonTemplateOptions

    @property
    def steps(self) -> int:
        """One request, and the polls after it."""
        return 1 if self.options.poll is None else 1 + self.options.poll.at_most

    def flow(self, inputs: Inputs) -> Generator[Request | Wait, Response, list[Answer]]:
        """Send the request; where it only submits a job, poll until that is done."""
        response = yield self.encode(inputs)
        poll = self.options.poll
        if poll is None:
            return self.decode(response, len(inputs))
        if response.status in poll.pending:
            raise AnswerError(f"the job is not taken: HTTP {response.status}; check url and body")
        address = self._poll_address(poll, response)
        for _ in range(poll.at_most):
            yield Wait(poll.every_s)
            response = yield Request(address, b"", "GET", {})
            if _is_done(poll, response):
                return self.decode(response, len(inputs))
        raise AnswerError(
            f"the job is not done after {poll.at_most} polls, the last answered with HTTP {response.status}: "
            "raise poll.at_most or poll.every_s, or mend poll.url and poll.done"
        )

    @classmethod
    def described_at(cls, url: str) -> tuple[str, ...]:
        """Look where FastAPI and others put an OpenAPI description in JSON."""
        return (urljoin(url, "/openapi.json"),)

    @classmethod
    def guesses(cls, task: TaskSpec, url: str, hints: Hints) -> Iterator[Guess]:
        """Guess from the description, from what refusals name, and from what is usual."""
        yield from bodies(task, url, hints)

    def classify(self, response: Response) -> Outcome:
        """Take for an answer what says that a job is not done yet."""
        poll = self.options.poll
        return Outcome.OK if poll is not None and response.status in poll.pending else super().classify(response)

    def places(self, response: Response, count: int) -> Iterator[Place]:
        """Look at every part of the response, unless it says that the job is not done."""
        if not is_under_way(read_json(response)):
            yield from super().places(response, count)

    def follow(self, response: Response, hints: Hints) -> Generator[Request | Wait, Response, Mapping[str, Any] | None]:
        """Take the response for that to a submitted job, and poll for its result."""
        found = yield from look_for_result(self.address, response, hints, self.places)
        return found

    def _poll_address(self, poll: Poll, submitted: Response) -> str:
        ticket = walk(read_json(submitted), poll.ticket, "poll.ticket")
        if isinstance(ticket, bool) or not isinstance(ticket, str | int) or ticket == "":
            raise AnswerError(f"the job's ticket is no text or number but {type(ticket).__name__}: mend poll.ticket")
        if poll.url == TICKET:
            return _joined(self.address, str(ticket))
        return urljoin(self.address, poll.url.replace(TICKET, quote(str(ticket), safe="")))


def _is_done(poll: Poll, response: Response) -> bool:
    """Say whether a job is done; what is not there yet counts as not done, as the polls are bounded anyway.

    Raises:
        AnswerError: the job has failed.
    """
    try:
        state: Any = walk(read_json(response), poll.done, "poll.done")
    except AnswerError:
        return False
    if isinstance(state, str) and state in poll.failed:
        raise AnswerError(f"the service says the job has {state[:40]!r}")
    return state is not None if poll.equals is None else type(state) is type(poll.equals) and state == poll.equals


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        raise AnswerError("the job's address is not valid: mend poll.ticket") from None
