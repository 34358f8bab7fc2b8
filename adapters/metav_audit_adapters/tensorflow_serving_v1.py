"""The predict API of TensorFlow Serving, which KServe calls v1."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    AnswerError,
    Inputs,
    Request,
    Response,
    TaskSpec,
    read_json,
    read_rows,
)
from metav_audit_adapters._inputs import Layout, arrange, check_layout
from metav_audit_adapters._shared import join, json_request, member, names, versions


class TensorFlowServingV1Options(AdapterOptions):
    """What a TensorFlow Serving endpoint is told."""

    url: str = Field(description="the server's base, such as http://host:8501", pattern=r"^https?://")
    model: str = Field(description="the model's name on the server", min_length=1)
    version: str | None = Field(
        None, description="the model's version; the server's own choice if absent", min_length=1
    )
    signature_name: str | None = Field(None, description="the signature to call; the server's default if absent")
    layout: Layout = Field(Layout.CHW, description="chw or hwc: where an image's channels stand")
    output: str | None = Field(None, description="which output holds the scores, where there are several")


class TensorFlowServingV1(Adapter):
    """Sends ``instances``, nested lists in the wire's layout; reads ``predictions``, a row of scores each."""

    name: ClassVar[str] = "tensorflow-serving-v1"
    summary: ClassVar[str] = "TensorFlow Serving and KServe v1: instances in, predictions out"
    Options: ClassVar[type[AdapterOptions]] = TensorFlowServingV1Options
    options: TensorFlowServingV1Options

    def __init__(self, task: TaskSpec, options: TensorFlowServingV1Options) -> None:
        super().__init__(task, options)
        check_layout(options.layout, task, type(self))
        self._url = join(options.url, "v1", "models", options.model, *versions(options.version)) + ":predict"

    def encode(self, inputs: Inputs) -> Request:
        """Write the inputs as instances."""
        body: dict[str, Any] = {"instances": arrange(inputs, self.options.layout).tolist()}
        if self.options.signature_name is not None:
            body["signature_name"] = self.options.signature_name
        return json_request(self._url, body)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the predictions: rows of numbers, or objects with one named output each."""
        predictions = member(read_json(response), "predictions")
        if not isinstance(predictions, list):
            raise AnswerError(f"the response's 'predictions' is not a list but {type(predictions).__name__}")
        return read_rows([self._row(prediction) for prediction in predictions], count, self.task.output)

    def _row(self, prediction: Any) -> Any:
        if not isinstance(prediction, dict):
            return prediction
        if self.options.output is not None:
            return member(prediction, self.options.output)
        if len(prediction) != 1:
            raise AnswerError(f"a prediction has the outputs {names(prediction)}: name the one to read (output = ...)")
        return next(iter(prediction.values()))
