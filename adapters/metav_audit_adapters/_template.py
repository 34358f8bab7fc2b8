"""A request from a template with a slot for the input, and the answer at a path of the response."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from metav_audit.adapter import (
    Adapter,
    Answer,
    ConfigurationError,
    Inputs,
    Outcome,
    Place,
    Request,
    Response,
    ScoreKind,
    TaskSpec,
    read_json,
)
from metav_audit_adapters._batches import by_index, check_order
from metav_audit_adapters._inputs import check_inputs, check_pictures, pictures, write_inputs
from metav_audit_adapters._paths import check_path, walk
from metav_audit_adapters._places import find_places
from metav_audit_adapters._rows import LabelOptions, RowReader
from metav_audit_adapters._sending import (
    Receive,
    Send,
    SendOptions,
    check_sending,
    is_csv,
    read_csv,
    takes_many,
    write_body,
)
from metav_audit_adapters._shared import form_request, json_request

ONE, MANY = "{{input}}", "{{inputs}}"
JsonPath = Annotated[str, AfterValidator(check_path)]
_THROTTLED = (
    b"ThrottlingException",
    b"TooManyRequestsException",
    b"ProvisionedThroughputExceededException",
    b"ThrottledException",
)


class TemplateOptions(SendOptions, LabelOptions):
    """What an API whose JSON is its owner's own business is told."""

    url: str = Field(description="the full address that takes the request", pattern=r"^https?://")
    body: Any = Field(
        None, description='the request as a table; "{{input}}" stands for one input, "{{inputs}}" for a list'
    )
    upload: str | None = Field(
        None,
        description="send a form with the PNG in this file field; body holds its text fields",
        pattern=r"^[\w.-]+$",
    )
    answer: JsonPath = Field(
        "", description='path to the answer, dotted ("result.0.scores") or JMESPath ("result[0].scores"); empty for all'
    )
    each: JsonPath | None = Field(
        None, description="path to the scores within each answer of a batch; the answer itself if absent"
    )
    index_key: str | None = Field(
        None, description="the key, in each answer of a batch, of its input's number; without it they come in order"
    )
    label_key: str = Field("label", description="the key of the label in a list of labelled scores")
    score_key: str = Field("score", description="the key of the score in a list of labelled scores")

    @model_validator(mode="after")
    def _one_kind_of_slot(self) -> Self:
        if self.receive is Receive.CSV and self.answer:
            raise ValueError("answer: a path leads through JSON, and receive = csv has none: leave it out")
        if self.body_kind is not Send.JSON:
            return self._no_json()
        slots = slots_of(self.body)
        if self.upload is not None:
            return self._form(slots)
        if not slots:
            raise ValueError(f'body: put "{ONE}" or "{MANY}" where the input belongs')
        if len(slots) > 1:
            raise ValueError(f'body: use "{ONE}" or "{MANY}", not both')
        if _is_in_a_text(MANY, self.body):
            raise ValueError(f'body: "{MANY}" is a list and stands alone: inside a longer text use "{ONE}"')
        if ONE in slots and self.batch != 1:
            raise ValueError(f'body: "{ONE}" takes one input a request: set batch = 1, or use "{MANY}"')
        return self

    def _no_json(self) -> Self:
        usual = type(self).model_fields["body"].default
        given = {"body": self.body if self.body != usual else None, "upload": self.upload}
        problem = self.problem_of_body([name for name, value in given.items() if value is not None])
        if problem:
            raise ValueError(problem)
        return self

    def _form(self, slots: set[str]) -> Self:
        if self.batch != 1:
            raise ValueError("upload: a form takes one input a request: set batch = 1")
        if slots or not _are_texts(self.body or {}):
            raise ValueError("body: beside upload it is a table of plain texts, without a slot")
        return self


class TemplateAdapter(Adapter):
    """Fills a template with inputs, and reads the scores at a path of the response."""

    Options: ClassVar[type[TemplateOptions]] = TemplateOptions
    options: TemplateOptions

    def __init__(self, task: TaskSpec, options: TemplateOptions) -> None:
        super().__init__(task, options)
        check_inputs(options, task, type(self))
        if options.upload is not None:
            check_pictures("upload", task, type(self))
        check_sending(options, task, type(self))
        json_body = options.body_kind is Send.JSON
        self._many = MANY in slots_of(options.body) if json_body else takes_many(options.body_kind)
        self._rows = RowReader.open(type(self), task, options, options.label_key, options.score_key)

    @property
    def address(self) -> str:
        """Where the request goes; override it where the protocol makes it up from parts."""
        return self.options.url

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of every request; override it where the protocol has some."""
        return {}

    def encode(self, inputs: Inputs) -> Request:
        """Fill the template."""
        options, headers = self.options, {**self._accept, **self.headers}
        if not self._many and len(inputs) != 1:
            raise ConfigurationError(f"adapter {self.name}: batch: it takes one input a request, not {len(inputs)}")
        if options.upload is not None:
            (picture,) = pictures(inputs, options, self.task)
            return form_request(self.address, options.upload, picture, options.body or {}, headers)
        if options.body_kind is not Send.JSON:
            content, described = write_body(inputs, options, self.task)
            return Request(self.address, content, headers={**described, **headers})
        values = write_inputs(inputs, options, self.task)
        return json_request(self.address, fill(options.body, values if self._many else values[0]), headers)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Walk the path and read one row, or a list of rows where the template took a list of inputs."""
        options = self.options
        if is_csv(response, options.receive):
            return self._rows.read_all(read_csv(response, count, alone=options.scores is ScoreKind.LABEL), count)
        found = walk(self.body_of(response), options.answer, "answer")
        rows = found if self._many else [found]
        if options.index_key is not None:
            rows = by_index(rows, options.index_key, count)
        elif isinstance(rows, list):
            check_order(rows, options.label_key)
        if options.each and isinstance(rows, list):
            rows = [walk(row, options.each, "each") for row in rows]
        return self._rows.read_all(rows, count)

    @property
    def _accept(self) -> dict[str, str]:
        return {"Accept": "text/csv"} if self.options.receive is Receive.CSV else {}

    def body_of(self, response: Response) -> Any:
        """Parse the response's body; override it where the JSON is wrapped in something."""
        return read_json(response)

    def places(self, response: Response, count: int) -> Iterator[Place]:
        """Look at every part of the response."""
        yield from find_places(self.body_of(response), self.task, count, many=self._many)

    def classify(self, response: Response) -> Outcome:
        """Know the clouds' own ways: throttling that comes as 400 (SageMaker), 529 and 530 for a busy backend."""
        return cloudy(response) or super().classify(response)


def cloudy(response: Response) -> Outcome | None:
    """Classify what the clouds answer in their own ways; None where there is nothing of the kind."""
    if response.status == 400 and any(word in response.content for word in _THROTTLED):
        return Outcome.THROTTLED
    return Outcome.TRANSIENT if response.status in (529, 530) else None


def slots_of(template: Any) -> set[str]:
    """Return which slots stand anywhere in a template."""
    if isinstance(template, dict):
        return set().union(*map(slots_of, template.values()))
    if isinstance(template, list):
        return set().union(*map(slots_of, template))
    return {slot for slot in (ONE, MANY) if isinstance(template, str) and slot in template}


def _is_in_a_text(slot: str, template: Any) -> bool:
    if isinstance(template, dict | list):
        parts = template.values() if isinstance(template, dict) else template
        return any(_is_in_a_text(slot, part) for part in parts)
    return isinstance(template, str) and slot in template and template != slot


def fill(template: Any, value: Any) -> Any:
    """Return the template with ``value`` in its slots; within a longer text it is written as text."""
    if isinstance(template, dict):
        return {key: fill(part, value) for key, part in template.items()}
    if isinstance(template, list):
        return [fill(part, value) for part in template]
    if template in (ONE, MANY):
        return value
    if isinstance(template, str) and ONE in template:
        # A slot within a text, such as "data:image/png;base64,{{input}}".
        return template.replace(ONE, value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
    return template


def _are_texts(body: Any) -> bool:
    return isinstance(body, dict) and all(
        isinstance(value, str) and key.isascii() and key.isprintable() and '"' not in key for key, value in body.items()
    )
