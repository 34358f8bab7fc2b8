"""Any other JSON API of a language model: a template for the prompt, and a path to what it says.

An API that gives texts is asked for several of its own, each by a request of its own; one that says how likely a given
answer is gets each continuation in its turn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    AnswerError,
    Inputs,
    Outcome,
    Passage,
    Request,
    Response,
    ScoreKind,
    Shows,
    TaskSpec,
    TextDomain,
    Wait,
    likenesses,
    read_json,
    read_scores,
)
from metav_audit_adapters._paths import walk
from metav_audit_adapters._polling import Poll, check_host, fetched, steps_of
from metav_audit_adapters._shared import json_request, refused
from metav_audit_adapters._template import JsonPath, cloudy

PROMPT, ANSWER, SAMPLE = "{{prompt}}", "{{answer}}", "{{sample}}"
_SLOT = re.compile(r"\{\{(?:prompt|answer|sample)\}\}")


class TextTemplateOptions(AdapterOptions):
    """What a JSON API of a language model without a protocol of its own is told."""

    url: str = Field(description="the full address that takes the request", pattern=r"^https?://")
    batch: int = Field(default=1, ge=1, le=1, description="passages in one request; it takes one")
    scores: Literal[ScoreKind.VALUE] = Field(ScoreKind.VALUE, description="value: numbers of continuations come out")
    body: dict[str, Any] = Field(
        description='the request as a table; "{{prompt}}" stands for the prompt, "{{sample}}" for the number of the '
        'answer asked for, from 0, and "{{answer}}" for a given one where the API says how likely it is'
    )
    answer: JsonPath = Field(
        description="path to the text of the answer, or to a list of several; with {{answer}} to its log-probability"
    )
    samples: int = Field(4, ge=1, le=64, description="requests for answers of its own to each prompt")
    poll: Poll | None = Field(None, description="a table: how to fetch the result, where a request only submits a job")

    @model_validator(mode="after")
    def _has_its_slots(self) -> Self:
        check_host(self.poll, self.url)
        if PROMPT not in _slots(self.body):
            raise ValueError(f'body: put "{PROMPT}" where the prompt belongs')
        return self


class TextTemplate(Adapter):
    """Fills a template with a passage; an answer is a number a continuation, likenesses or log-probabilities."""

    name: ClassVar[str] = "json-template"
    summary: ClassVar[str] = "any other JSON API of a language model"
    texts: ClassVar[bool] = True
    Options: ClassVar[type[TextTemplateOptions]] = TextTemplateOptions
    options: TextTemplateOptions

    def __init__(self, task: TaskSpec, options: TextTemplateOptions) -> None:
        super().__init__(task, options)
        assert isinstance(task.domain, TextDomain)
        self._given = task.domain.shows is Shows.LOG_PROBABILITIES
        if task.domain.shows is Shows.TOKENS:
            raise refused(type(self), "body", "it reads no next tokens: make a plan for text, or ask openai-logprobs")
        if self._given is not (ANSWER in _slots(options.body)):
            why = f'"{ANSWER}" stands for a given answer: a plan for log-probabilities needs it, one for text has none'
            raise refused(type(self), "body", why)

    @property
    def steps(self) -> int:
        """Requests of a passage: one a continuation, or one a sample, and their polls."""
        each = self.task.output.size if self._given else self.options.samples
        return each * steps_of(self.options.poll)

    def encode(self, inputs: Inputs) -> Request:
        """Write the first request of a passage."""
        return self._request(inputs[0], 0)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Refuse: what a response says of texts is read beside them, by ``flow``.

        Raises:
            AnswerError: always.
        """
        raise AnswerError(f"{count} answers of {len(response.content)} bytes cannot be read without their passage")

    def flow(self, inputs: Inputs) -> Generator[Request | Wait, Response, list[Answer]]:
        """Ask about one passage: for answers of its own, or about each continuation."""
        passage: Passage = inputs[0]
        found: list[Any] = []
        for number in range(len(passage.continuations) if self._given else self.options.samples):
            response = yield from fetched(self._request(passage, number), self.options.poll)
            found.append(walk(read_json(response), self.options.answer, "answer", whole=True))
        if self._given:
            return [read_scores(found)]
        likes = [likenesses(text, passage.continuations) for each in found for text in _texts(each)]
        return [Answer(tuple(math.fsum(each) / len(likes) for each in zip(*likes, strict=True)))]

    def classify(self, response: Response) -> Outcome:
        """Know what the template of any other task knows, and take for an answer that a job is not done yet."""
        poll = self.options.poll
        if poll is not None and response.status in poll.pending:
            return Outcome.OK
        return cloudy(response) or super().classify(response)

    def _request(self, passage: Passage, number: int) -> Request:
        slots: dict[str, Any] = {PROMPT: passage.prompt, SAMPLE: number}
        if self._given:
            slots[ANSWER] = passage.continuations[number]
        return json_request(self.options.url, _filled(self.options.body, slots))


def _texts(found: Any) -> list[str]:
    """Return the texts of one response.

    Raises:
        AnswerError: there is none.
    """
    texts = found if isinstance(found, list) else [found]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise AnswerError(f"what stands at 'answer' is no text, and no list of texts, but {type(found).__name__}")
    return texts


def _slots(template: Any) -> set[str]:
    if isinstance(template, dict | list):
        parts = template.values() if isinstance(template, dict) else template
        return set().union(*map(_slots, parts))
    return set(_SLOT.findall(template)) if isinstance(template, str) else set()


def _filled(template: Any, slots: Mapping[str, Any]) -> Any:
    """Return the template with its slots filled once: a prompt that holds a slot's name stays as it is."""
    if isinstance(template, dict):
        return {key: _filled(part, slots) for key, part in template.items()}
    if isinstance(template, list):
        return [_filled(part, slots) for part in template]
    if not isinstance(template, str):
        return template
    return slots[template] if template in slots else _SLOT.sub(lambda slot: str(slots[slot[0]]), template)
