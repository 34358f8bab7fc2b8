"""Every other JSON API: a template with a slot for the input, and a path to the answer; polled where it wants that."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from typing import Any, ClassVar, Self
from urllib.parse import urljoin

from pydantic import Field, model_validator

from metav_audit.adapter import (
    Answer,
    Guess,
    Hints,
    Inputs,
    Outcome,
    Place,
    Request,
    Response,
    TaskSpec,
    TextDomain,
    Wait,
    read_json,
)
from metav_audit_adapters._guesses import bodies
from metav_audit_adapters._jobs import is_under_way, look_for_result
from metav_audit_adapters._polling import Poll, check_host, fetched, steps_of
from metav_audit_adapters._template import TemplateAdapter, TemplateOptions
from metav_audit_adapters._text_template import TextTemplate


class JsonTemplateOptions(TemplateOptions):
    """What a JSON API without a protocol of its own is told."""

    poll: Poll | None = Field(None, description="a table: how to fetch the result, where a request only submits a job")

    @model_validator(mode="after")
    def _polls_its_own_host(self) -> Self:
        check_host(self.poll, self.url)
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
        return steps_of(self.options.poll)

    @classmethod
    def open(cls, task: TaskSpec, fields: Mapping[str, Any], beside: Collection[str] = ()) -> Self:
        """Build the adapter, or that for language models where the task is texts.

        Raises:
            ConfigurationError: a field is missing, unknown or out of range, or does not fit the task.
        """
        if isinstance(task.domain, TextDomain):
            return TextTemplate.open(task, fields, beside)  # type: ignore[return-value]
        return super().open(task, fields, beside)

    def flow(self, inputs: Inputs) -> Generator[Request | Wait, Response, list[Answer]]:
        """Send the request; where it only submits a job, poll until that is done."""
        response = yield from fetched(self.encode(inputs), self.options.poll)
        return self.decode(response, len(inputs))

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
