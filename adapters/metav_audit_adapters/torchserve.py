"""TorchServe's inference API, whose body and answer are the handler's business."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from metav_audit.adapter import Adapter, Answer, Inputs, Outcome, Request, Response, TaskSpec, read_json
from metav_audit_adapters._inputs import InputOptions, check_inputs, check_pictures, pictures, write_inputs
from metav_audit_adapters._rows import LabelOptions, RowReader
from metav_audit_adapters._shared import join, json_request, member, png_request, read_mildly

_HANDLER_FAILED = "Prediction failed"


class Send(StrEnum):
    """What a handler takes."""

    IMAGE = "image"
    DATA = "data"
    INSTANCES = "instances"


class TorchServeOptions(InputOptions, LabelOptions):
    """What a TorchServe endpoint is told."""

    url: str = Field(description="the inference address, such as http://host:8080", pattern=r"^https?://")
    model: str = Field(description="the model's name on the server", min_length=1)
    version: str | None = Field(None, description="the model's version; the server's default if absent", min_length=1)
    send: Send = Field(
        Send.IMAGE, description='image: a PNG as it is; data: {"data": input}; instances: {"instances": [input, ...]}'
    )

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Self:
        if self.batch != 1 and self.send is not Send.INSTANCES:
            raise ValueError(f"batch: send = {self.send} takes one input a request: set batch = 1, or send instances")
        return self


class TorchServe(Adapter):
    """Sends a picture or JSON; reads a row of scores or ``{label: score}``, bare or in a list."""

    name: ClassVar[str] = "torchserve"
    summary: ClassVar[str] = "TorchServe: a PNG or JSON in, the handler's list or {label: score} out"
    Options: ClassVar[type[TorchServeOptions]] = TorchServeOptions
    options: TorchServeOptions

    def __init__(self, task: TaskSpec, options: TorchServeOptions) -> None:
        super().__init__(task, options)
        check_inputs(options, task, type(self))
        if options.send is Send.IMAGE:
            check_pictures("send", task, type(self))
        self._rows = RowReader.open(type(self), task, options)
        self._url = join(options.url, "predictions", options.model, *([options.version] if options.version else []))

    def encode(self, inputs: Inputs) -> Request:
        """Write what the handler takes."""
        if self.options.send is Send.IMAGE:
            return png_request(self._url, pictures(inputs, self.options, self.task)[0])
        values = write_inputs(inputs, self.options, self.task)
        many = self.options.send is Send.INSTANCES
        return json_request(self._url, {self.options.send.value: values if many else values[0]})

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the answer, bare or in a list; answers to instances stand under ``predictions``."""
        body = read_json(response)
        if self.options.send is Send.INSTANCES:
            return self._rows.read_all(member(body, "predictions"), count)
        return self._rows.read_loose(body, count)

    def classify(self, response: Response) -> Outcome:
        """Tell a handler that failed over the input, which comes as 503 too, from a server without a free worker."""
        if response.status in (500, 503) and read_mildly(response).get("message") == _HANDLER_FAILED:
            return Outcome.FATAL
        return Outcome.TRANSIENT if response.status == 507 else super().classify(response)
