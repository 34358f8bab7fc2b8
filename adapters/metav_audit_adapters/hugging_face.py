"""Hugging Face inference: image classification over the serverless API and dedicated endpoints."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from metav_audit.adapter import Adapter, Answer, Inputs, Request, Response, TaskSpec, read_json
from metav_audit_adapters._inputs import ColourOptions, base64_pictures, check_colours, check_pictures, pictures
from metav_audit_adapters._rows import LabelOptions, RowReader
from metav_audit_adapters._shared import json_request, png_request


class Send(StrEnum):
    """In which form a picture is sent."""

    JSON = "json"
    IMAGE = "image"


class HuggingFaceOptions(ColourOptions, LabelOptions):
    """What a Hugging Face endpoint is told."""

    url: str = Field(description="the model's or the dedicated endpoint's address", pattern=r"^https?://")
    batch: int = Field(default=1, ge=1, le=1, description="queries in one request; this protocol takes one")
    send: Send = Field(
        Send.JSON, description="json: base64 and parameters, so that all labels can be asked for; image: a PNG as it is"
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the JSON form, beside top_k, which is the number of labels"
    )


class HuggingFace(Adapter):
    """Sends a picture; reads ``[{"label", "score"}]``, bare or nested once."""

    name: ClassVar[str] = "hugging-face"
    summary: ClassVar[str] = "Hugging Face inference: a picture in, labelled scores out"
    Options: ClassVar[type[HuggingFaceOptions]] = HuggingFaceOptions
    options: HuggingFaceOptions

    def __init__(self, task: TaskSpec, options: HuggingFaceOptions) -> None:
        super().__init__(task, options)
        check_pictures("send", task, type(self))
        check_colours(options, task, type(self))
        self._rows = RowReader.open(type(self), task, options)

    def encode(self, inputs: Inputs) -> Request:
        """Write the picture, and ask for as many labels as the task has where the form allows it."""
        if self.options.send is Send.IMAGE:
            return png_request(self.options.url, pictures(inputs, self.options, self.task)[0])
        parameters = {"top_k": self.task.output.size, **self.options.parameters}
        return json_request(
            self.options.url, {"inputs": base64_pictures(inputs, self.options, self.task)[0], "parameters": parameters}
        )

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the labelled scores; some servers nest them once more, as if for a batch."""
        body = read_json(response)
        nested = isinstance(body, list) and len(body) == 1 and isinstance(body[0], list)
        return self._rows.read_all(body if nested else [body], count)
