"""Every other JSON API: a template with a slot for the input, and a path to the answer."""

from __future__ import annotations

import base64
import json
from enum import StrEnum
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from metav_audit.adapter import Adapter, AdapterOptions, Outcome, Request, Response, read_json
from metav_audit.domains.base import Inputs
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.responses import Answer
from metav_audit.task import TaskSpec
from metav_audit_adapters._rows import RowReader
from metav_audit_adapters._shared import Layout, arrange, check_layout, names

ONE, MANY = "{{input}}", "{{inputs}}"
_THROTTLED = (b"ThrottlingException", b"TooManyRequestsException", b"ProvisionedThroughputExceededException")


class Encoding(StrEnum):
    """How one input stands in the request."""

    NESTED = "nested"
    FLAT = "flat"
    PNG_BASE64 = "png_base64"


class JsonTemplateOptions(AdapterOptions):
    """What a JSON API without a protocol of its own is told."""

    url: str = Field(description="the full address that takes the request", pattern=r"^https?://")
    body: Any = Field(description='the request as a table; "{{input}}" stands for one input, "{{inputs}}" for a list')
    encoding: Encoding = Field(Encoding.NESTED, description="nested or flat lists of numbers, or png_base64")
    layout: Layout = Field(Layout.CHW, description="chw or hwc: where an image's channels stand")
    scale: float = Field(1.0, description="multiplied to the numbers, such as 255", gt=0, allow_inf_nan=False)
    answer: str = Field("", description='dotted path to the answer, such as "result.0.scores"; empty for all of it')
    label_key: str = Field("label", description="the key of the label in a list of labelled scores")
    score_key: str = Field("score", description="the key of the score in a list of labelled scores")
    label_map: dict[str, str] = Field(default_factory=dict, description="the API's labels -> the task's labels")

    @model_validator(mode="after")
    def _one_kind_of_slot(self) -> Self:
        slots = _slots(self.body)
        if not slots:
            raise ValueError(f'body: put "{ONE}" or "{MANY}" where the input belongs')
        if len(slots) > 1:
            raise ValueError(f'body: use "{ONE}" or "{MANY}", not both')
        if ONE in slots and self.batch != 1:
            raise ValueError(f'body: "{ONE}" takes one input a request: set batch = 1, or use "{MANY}"')
        return self


class JsonTemplate(Adapter):
    """Fills a template with inputs, and reads the scores at a path of the response."""

    name: ClassVar[str] = "json-template"
    summary: ClassVar[str] = "any other JSON API: a template for the request, a path to the answer"
    Options: ClassVar[type[AdapterOptions]] = JsonTemplateOptions
    options: JsonTemplateOptions

    def __init__(self, task: TaskSpec, options: JsonTemplateOptions) -> None:
        super().__init__(task, options)
        check_layout(options.layout, task, type(self))
        self._many = MANY in _slots(options.body)
        self._rows = RowReader(task.output.labels, options.label_map, options.label_key, options.score_key)
        unknown = sorted(set(options.label_map.values()) - set(task.output.labels))
        if unknown:
            raise ConfigurationError(f"adapter {self.name}: label_map: the task has no label {unknown[0]!r}")
        if (
            options.encoding is Encoding.PNG_BASE64
            and self._pictures(np.zeros((1, *task.domain.shape), np.float32)) == []
        ):
            raise ConfigurationError(f"adapter {self.name}: encoding: this task's inputs are no pictures")

    def encode(self, inputs: Inputs) -> Request:
        """Fill the template."""
        values = self._values(inputs)
        if not self._many and len(values) != 1:
            raise ConfigurationError(f'adapter {self.name}: body: "{ONE}" takes one input a request, not {len(values)}')
        body = _fill(self.options.body, values if self._many else values[0])
        return Request(self.options.url, json.dumps(body, separators=(",", ":")).encode())

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Walk the path and read one row, or a list of rows where the template took a list of inputs."""
        found = _walk(_read_strictly(response), self.options.answer)
        if not self._many:
            found = [found]
        if not isinstance(found, list):
            raise AnswerError(f"the answers are not a list but {type(found).__name__}: mend the path 'answer'")
        if len(found) != count:
            raise AnswerError(f"{count} inputs were sent, {len(found)} answers came back")
        return [self._rows.read(row) for row in found]

    def classify(self, response: Response) -> Outcome:
        """Know the clouds' own ways: throttling that comes as 400 (SageMaker), 529 and 530 for a busy backend."""
        if response.status == 400 and any(word in response.content for word in _THROTTLED):
            return Outcome.THROTTLED
        if response.status in (529, 530):
            return Outcome.TRANSIENT
        return super().classify(response)

    def _values(self, inputs: Inputs) -> list[Any]:
        if self.options.encoding is Encoding.PNG_BASE64:
            return [base64.b64encode(picture).decode() for picture in self._pictures(inputs)]
        arranged = arrange(inputs, self.options.layout)
        if self.options.scale != 1.0:
            # Rounded back to float32, so that 254/255 scaled by 255 is written 254.0 and not 253.99999.
            arranged = (arranged * np.float32(self.options.scale)).astype(np.float32)
        flat = self.options.encoding is Encoding.FLAT
        values: list[Any] = (arranged.reshape(len(inputs), -1) if flat else arranged).tolist()
        return values

    def _pictures(self, inputs: Inputs) -> list[bytes]:
        return self.task.domain.png(inputs) or []


def _slots(template: Any) -> set[str]:
    if isinstance(template, dict):
        return set().union(*map(_slots, template.values()))
    if isinstance(template, list):
        return set().union(*map(_slots, template))
    return {slot for slot in (ONE, MANY) if isinstance(template, str) and slot in template}


def _fill(template: Any, value: Any) -> Any:
    if isinstance(template, dict):
        return {key: _fill(part, value) for key, part in template.items()}
    if isinstance(template, list):
        return [_fill(part, value) for part in template]
    if template in (ONE, MANY):
        return value
    if isinstance(template, str) and ONE in template:
        # A slot within a text, such as "data:image/png;base64,{{input}}".
        return template.replace(ONE, value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
    return template


def _read_strictly(response: Response) -> Any:
    """Parse the body, and refuse an object with one key twice: Python would silently keep the last."""
    read_json(response)
    return json.loads(response.content, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) != len(pairs):
        raise AnswerError("an object in the response names one key or label twice")
    return distinct


def _walk(body: Any, path: str) -> Any:
    for step in path.split(".") if path else []:
        if isinstance(body, dict) and step in body:
            body = body[step]
        elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
            body = body[int(step)]
        else:
            there = names(body) if isinstance(body, dict) else f"a {type(body).__name__}"
            raise AnswerError(f"the path 'answer' = {path!r} ends at {step!r}: there is {there}; mend the path")
    return body
