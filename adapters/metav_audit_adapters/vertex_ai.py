"""Google Vertex AI online prediction: custom containers and AutoML."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from metav_audit.adapter import Adapter, Answer, AnswerError, Inputs, Request, Response, TaskSpec, read_json
from metav_audit_adapters._inputs import InputOptions, check_inputs, write_inputs
from metav_audit_adapters._rows import LabelOptions, RowReader
from metav_audit_adapters._shared import json_request, member
from metav_audit_adapters._template import ONE, fill, slots_of

_PAIRED = (("displayNames", "confidences"), ("classes", "scores"))
"""How AutoML names labels and scores: for images, and for tables."""


class VertexAIOptions(InputOptions, LabelOptions):
    """What a Vertex AI endpoint is told."""

    url: str = Field(
        description="the endpoint, .../v1/projects/P/locations/L/endpoints/E", pattern=r"^https?://[^/]+/."
    )
    instance: Any = Field(ONE, description='one instance, with "{{input}}" where the input belongs')
    parameters: dict[str, Any] = Field(default_factory=dict, description="the request's parameters, as a table")

    @field_validator("instance")
    @classmethod
    def _one_slot(cls, instance: Any) -> Any:
        if slots_of(instance) != {ONE}:
            raise ValueError(f'put "{ONE}" where the input belongs')
        return instance


class VertexAI(Adapter):
    """Sends ``instances``; reads ``predictions``: rows of scores, labelled scores, or AutoML's paired lists."""

    name: ClassVar[str] = "vertex-ai"
    summary: ClassVar[str] = "Google Vertex AI prediction: custom containers and AutoML"
    Options: ClassVar[type[VertexAIOptions]] = VertexAIOptions
    options: VertexAIOptions

    def __init__(self, task: TaskSpec, options: VertexAIOptions) -> None:
        super().__init__(task, options)
        check_inputs(options, task, type(self))
        self._rows = RowReader.open(type(self), task, options)
        self._url = options.url if options.url.endswith(":predict") else f"{options.url.rstrip('/')}:predict"

    def encode(self, inputs: Inputs) -> Request:
        """Write one instance an input."""
        instances = [fill(self.options.instance, value) for value in write_inputs(inputs, self.options, self.task)]
        parameters = {"parameters": self.options.parameters} if self.options.parameters else {}
        return json_request(self._url, {"instances": instances, **parameters})

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the predictions."""
        predictions = member(read_json(response), "predictions")
        if isinstance(predictions, list):
            predictions = [_labelled(prediction) for prediction in predictions]
        return self._rows.read_all(predictions, count)


def _labelled(prediction: Any) -> Any:
    """Turn AutoML's two lists into labelled scores; anything else stays as it is."""
    for labels, scores in _PAIRED:
        if isinstance(prediction, dict) and labels in prediction:
            left, right = prediction[labels], member(prediction, scores)
            if not isinstance(left, list) or not isinstance(right, list) or len(left) != len(right):
                raise AnswerError(f"a prediction's {labels!r} and {scores!r} are not two lists of one length")
            return [{"label": label, "score": score} for label, score in zip(left, right, strict=True)]
    return prediction
