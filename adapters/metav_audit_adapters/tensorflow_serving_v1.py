"""The predict API of TensorFlow Serving, which KServe calls v1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    AnswerError,
    Guess,
    Hints,
    Inputs,
    Request,
    Response,
    TaskSpec,
    read_json,
    read_rows,
)
from metav_audit_adapters._inputs import Layout, TensorOptions, as_whole, check_tensor, tensor
from metav_audit_adapters._paths import names
from metav_audit_adapters._shared import join, json_request, member, versions

_ADDRESS = re.compile(r"(https?://.*?)/v1/models/([^/:]+)(?:/versions/([^/:]+))?(?::predict)?/?")


class TensorFlowServingV1Options(TensorOptions):
    """What a TensorFlow Serving endpoint is told."""

    url: str = Field(description="the server's base, such as http://host:8501", pattern=r"^https?://")
    model: str = Field(description="the model's name on the server", min_length=1)
    version: str | None = Field(
        None, description="the model's version; the server's own choice if absent", min_length=1
    )
    signature_name: str | None = Field(None, description="the signature to call; the server's default if absent")
    output: str | None = Field(None, description="which output holds the scores, where there are several")


class TensorFlowServingV1(Adapter):
    """Sends ``instances``, nested lists in the wire's layout; reads ``predictions``, a row of scores each."""

    name: ClassVar[str] = "tensorflow-serving-v1"
    summary: ClassVar[str] = "TensorFlow Serving and KServe v1: instances in, predictions out"
    Options: ClassVar[type[AdapterOptions]] = TensorFlowServingV1Options
    options: TensorFlowServingV1Options

    def __init__(self, task: TaskSpec, options: TensorFlowServingV1Options) -> None:
        super().__init__(task, options)
        check_tensor(options, task, type(self))
        self._url = join(options.url, "v1", "models", options.model, *versions(options.version)) + ":predict"

    def encode(self, inputs: Inputs) -> Request:
        """Write the inputs as instances."""
        values = tensor(inputs, self.options)
        body: dict[str, Any] = {"instances": (as_whole(values) if self.options.whole else values).tolist()}
        if self.options.signature_name is not None:
            body["signature_name"] = self.options.signature_name
        return json_request(self._url, body)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the predictions: rows of numbers, or objects with one named output each."""
        predictions = member(read_json(response), "predictions")
        if not isinstance(predictions, list):
            raise AnswerError(f"the response's 'predictions' is not a list but {type(predictions).__name__}")
        return read_rows([self._row(prediction) for prediction in predictions], count, self.task.output)

    @classmethod
    def guesses(cls, task: TaskSpec, url: str, hints: Hints) -> Iterator[Guess]:
        """Take names from the address, and try the layouts, the one usual with TensorFlow first."""
        del hints
        found = _ADDRESS.fullmatch(url)
        if found is None:
            return
        given = {"url": found[1], "model": found[2]} | ({"version": found[3]} if found[3] else {})
        layouts = [Layout.HWC, Layout.CHW, Layout.HW] if len(task.domain.shape) == 3 else [Layout.CHW]
        for layout in layouts:
            yield Guess({**given, "layout": layout.value, "batch": 8}, cls.name)

    def _row(self, prediction: Any) -> Any:
        if not isinstance(prediction, dict):
            return prediction
        if self.options.output is not None:
            return member(prediction, self.options.output)
        if len(prediction) != 1:
            raise AnswerError(f"a prediction has the outputs {names(prediction)}: name the one to read (output = ...)")
        return next(iter(prediction.values()))
