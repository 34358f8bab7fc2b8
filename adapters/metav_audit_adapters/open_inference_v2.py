"""The Open Inference Protocol v2 over REST: KServe, MLServer, Triton; with its binary tensor extension."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    AnswerError,
    Guess,
    Hints,
    Inputs,
    Outcome,
    Request,
    Response,
    TaskSpec,
    flatten,
    read_json,
    read_rows,
)
from metav_audit_adapters._shared import dumps, join, json_request, member, versions

_CRASHES = (b"Internal Server Error", b"Traceback (most recent call last)")
"""How the page of a crash in MLServer begins: without and with its debug mode, which is on unless switched off."""
_ADDRESS = re.compile(r"(https?://.*?)/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/infer)?/?")
_USUAL_NAMES = ("input", "input-0", "input_0", "predict", "inputs", "x")
_HEADER_LENGTH = "Inference-Header-Content-Length"
_DTYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


class OpenInferenceV2Options(AdapterOptions):
    """What an Open Inference endpoint is told."""

    url: str = Field(description="the server's base, such as http://host:8080", pattern=r"^https?://")
    model: str = Field(description="the model's name on the server", min_length=1)
    version: str | None = Field(
        None, description="the model's version; the server's own choice if absent", min_length=1
    )
    input_name: str = Field("input", description="the name of the input tensor", min_length=1)
    output_name: str | None = Field(None, description="the name of the output tensor; the first one if absent")
    binary: bool = Field(
        default=False, description="send and ask for tensors as bytes; KServe and Triton do, MLServer does not"
    )


class OpenInferenceV2(Adapter):
    """Sends an FP32 tensor of shape (batch, *domain.shape), reads an output tensor of shape (batch, classes)."""

    name: ClassVar[str] = "open-inference-v2"
    summary: ClassVar[str] = "Open Inference Protocol v2 (KServe, MLServer, Triton): FP32 tensors as JSON or bytes"
    Options: ClassVar[type[AdapterOptions]] = OpenInferenceV2Options
    options: OpenInferenceV2Options

    def __init__(self, task: TaskSpec, options: OpenInferenceV2Options) -> None:
        super().__init__(task, options)
        self._url = join(options.url, "v2", "models", options.model, *versions(options.version), "infer")

    def encode(self, inputs: Inputs) -> Request:
        """Write one tensor, its data flat; in binary the JSON goes first and the little-endian bytes after it."""
        tensor: dict[str, Any] = {"name": self.options.input_name, "shape": list(inputs.shape), "datatype": "FP32"}
        wanted = [] if self.options.output_name is None else [{"name": self.options.output_name}]
        if not self.options.binary:
            tensor["data"] = inputs.ravel().tolist()
            return json_request(self._url, {"inputs": [tensor]} | ({"outputs": wanted} if wanted else {}))
        values = inputs.astype("<f4").tobytes()
        body: dict[str, Any] = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(values)}}]}
        if wanted:
            body["outputs"] = [{**output, "parameters": {"binary_data": True}} for output in wanted]
        else:
            body["parameters"] = {"binary_data_output": True}
        head = dumps(body)
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
        return Request(self._url, head + values, headers=headers)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the output tensor; its data may come as bytes, flat or nested, whatever was asked for."""
        head, values = _split(response)
        outputs = _outputs(head)
        output = self._output(outputs)
        data, shape = _data(output, outputs, values), member(output, "shape")
        if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not all(_is_size(size) for size in shape):
            raise AnswerError("an output's shape is not a list of sizes")
        if prod(shape) != len(data):
            raise AnswerError(f"an output's shape {shape} does not fit its {len(data)} elements")
        rows = shape[0] if len(shape) > 1 or count > 1 else 1
        width = len(data) // max(rows, 1)
        return read_rows([data[row * width : (row + 1) * width] for row in range(rows)], count, self.task.output)

    def classify(self, response: Response) -> Outcome:
        """Tell MLServer's answer to a request it cannot digest, 500 in plain text, from a passing fault."""
        if response.status == 500 and response.content.startswith(_CRASHES):
            return Outcome.FATAL
        return super().classify(response)

    @classmethod
    def described_at(cls, url: str) -> tuple[str, ...]:
        """Look at the model's metadata, where the address names a model."""
        found = _ADDRESS.fullmatch(url)
        return () if found is None else (join(found[1], "v2", "models", found[2], *versions(found[3])),)

    @classmethod
    def guesses(cls, task: TaskSpec, url: str, hints: Hints) -> Iterator[Guess]:
        """Take names from the address and from the model's metadata, where they fit the task."""
        found = _ADDRESS.fullmatch(url)
        if found is None:
            return
        given = {"url": found[1], "model": found[2]} | ({"version": found[3]} if found[3] else {})
        stated = [names for document in hints.documents.values() for names in _input_names(document, task)]
        for name in dict.fromkeys(stated) if hints.documents else _USUAL_NAMES:
            yield Guess({**given, "input_name": name}, f"{cls.name} {name}")

    def _output(self, outputs: list[dict[str, Any]]) -> dict[str, Any]:
        wanted = self.options.output_name
        if wanted is None:
            return outputs[0]
        for output in outputs:
            if output.get("name") == wanted:
                return output
        found = ", ".join(repr(str(output.get("name"))[:40]) for output in outputs[:8])
        raise AnswerError(f"the response has no output {wanted!r}, only {found}: mend output_name")


def _input_names(document: Any, task: TaskSpec) -> Iterator[str]:
    """Yield the name of the one input tensor that metadata state, if it has the task's shape."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict):
        name, shape = inputs[0].get("name"), inputs[0].get("shape")
        if isinstance(name, str) and name and isinstance(shape, list) and shape[1:] == list(task.domain.shape):
            yield name


def _split(response: Response) -> tuple[Any, bytes]:
    """Parse the JSON, which is the whole body or, by the header's word, its start; return it and the bytes after."""
    text = response.headers.get(_HEADER_LENGTH.lower())
    if text is None:
        return read_json(response), b""
    if not (text.isascii() and text.isdecimal() and len(text) < 12) or int(text) > len(response.content):
        raise AnswerError(f"the response's header {_HEADER_LENGTH} does not fit its body")
    length = int(text)
    return read_json(replace(response, content=response.content[:length])), response.content[length:]


def _outputs(head: Any) -> list[dict[str, Any]]:
    outputs = member(head, "outputs")
    if not isinstance(outputs, list) or not outputs or not all(isinstance(each, dict) for each in outputs):
        raise AnswerError("the response's 'outputs' is not a list of tensors")
    return outputs


def _data(output: dict[str, Any], outputs: list[dict[str, Any]], values: bytes) -> list[Any]:
    """Return a tensor's elements: from its own JSON, or from its share of the bytes, in the outputs' order."""
    size = _binary_size(output)
    if size is None:
        return flatten(member(output, "data"))
    sizes = [_binary_size(each) or 0 for each in outputs]
    start = sum(sizes[: next(place for place, each in enumerate(outputs) if each is output)])
    dtype = _DTYPES.get(str(output.get("datatype")))
    if sum(sizes) != len(values) or dtype is None or size % np.dtype(dtype).itemsize:
        raise AnswerError("an output's bytes do not fit what its JSON says: is it FP16, FP32 or FP64?")
    elements: list[Any] = np.frombuffer(values[start : start + size], dtype).tolist()
    return elements


def _binary_size(output: dict[str, Any]) -> int | None:
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and not _is_size(size):
        raise AnswerError("an output's binary_data_size is no size")
    return size


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 31
