"""The Open Inference Protocol v2 over REST: KServe, MLServer, Triton."""

from __future__ import annotations

import json
from math import prod
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field

from metav_audit.adapter import Adapter, AdapterOptions, Outcome, Request, Response, read_json, read_rows
from metav_audit.domains.base import Inputs
from metav_audit.errors import AnswerError
from metav_audit.responses import Answer
from metav_audit.task import TaskSpec
from metav_audit_adapters._shared import flatten, member

_CRASH = b"Internal Server Error"


class OpenInferenceV2Options(AdapterOptions):
    """What an Open Inference endpoint is told."""

    url: str = Field(description="the server's base, such as http://host:8080", pattern=r"^https?://")
    model: str = Field(description="the model's name on the server", min_length=1)
    version: str | None = Field(
        None, description="the model's version; the server's own choice if absent", min_length=1
    )
    input_name: str = Field("input", description="the name of the input tensor", min_length=1)
    output_name: str | None = Field(None, description="the name of the output tensor; the first one if absent")


class OpenInferenceV2(Adapter):
    """Sends an FP32 tensor of shape (batch, *domain.shape), reads an output tensor of shape (batch, classes)."""

    name: ClassVar[str] = "open-inference-v2"
    summary: ClassVar[str] = "Open Inference Protocol v2 (KServe, MLServer, Triton): FP32 tensors as JSON"
    Options: ClassVar[type[AdapterOptions]] = OpenInferenceV2Options
    options: OpenInferenceV2Options

    def __init__(self, task: TaskSpec, options: OpenInferenceV2Options) -> None:
        super().__init__(task, options)
        version = f"/versions/{quote(options.version, safe='')}" if options.version else ""
        self._url = f"{options.url.rstrip('/')}/v2/models/{quote(options.model, safe='')}{version}/infer"

    def encode(self, inputs: Inputs) -> Request:
        """Write one tensor, its data flat."""
        tensor = {"name": self.options.input_name, "shape": list(inputs.shape), "datatype": "FP32"}
        body: dict[str, Any] = {"inputs": [{**tensor, "data": inputs.ravel().tolist()}]}
        if self.options.output_name is not None:
            body["outputs"] = [{"name": self.options.output_name}]
        return Request(self._url, json.dumps(body, separators=(",", ":")).encode())

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the output tensor; its data may come flat or nested."""
        output = self._output(member(read_json(response), "outputs"))
        data, shape = flatten(member(output, "data")), member(output, "shape")
        if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not all(_is_size(size) for size in shape):
            raise AnswerError("an output's shape is not a list of sizes")
        if prod(shape) != len(data):
            raise AnswerError(f"an output's shape {shape} does not fit its {len(data)} elements")
        rows = shape[0] if len(shape) > 1 or count > 1 else 1
        width = len(data) // max(rows, 1)
        return read_rows([data[row * width : (row + 1) * width] for row in range(rows)], count)

    def classify(self, response: Response) -> Outcome:
        """Tell MLServer's answer to a request it cannot digest, 500 in plain text, from a passing fault."""
        if response.status == 500 and response.content.strip() == _CRASH:
            return Outcome.FATAL
        return super().classify(response)

    def _output(self, outputs: Any) -> Any:
        wanted = self.options.output_name
        if not isinstance(outputs, list) or not outputs or not all(isinstance(each, dict) for each in outputs):
            raise AnswerError("the response's 'outputs' is not a list of tensors")
        if wanted is None:
            return outputs[0]
        for output in outputs:
            if output.get("name") == wanted:
                return output
        found = ", ".join(repr(str(output.get("name"))[:40]) for output in outputs[:8])
        raise AnswerError(f"the response has no output {wanted!r}, only {found}: mend output_name")


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 31
