"""Open Inference Protocol v2 over REST, as a server: health, metadata, inference, and the binary tensor extension.

A model takes one FP32 tensor ``input`` of shape (n, *domain.shape) and gives one FP64 tensor of shape (n, size), named
``probabilities``, or ``values`` where the task is no classification. What does not fit the task is refused with 400 and
a sentence that says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from metav_audit.adapter import Request, Response
from metav_audit.config import first_problem
from metav_audit.errors import DataError
from metav_audit.serving.server import RefusedError, json_response
from metav_audit.task import TaskSpec
from metav_audit.version import __version__

INPUT = "input"
MAX_BATCH = 1024
"""Inputs that one request may hold."""

_HEADER_LENGTH = "inference-header-content-length"

Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""From inputs of shape (n, *domain.shape) to probabilities or values of shape (n, size)."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as a server knows it.

    Attributes:
        name: in the URL.
        version: in the URL where a client names one; it follows from the weights.
        task: what it takes and gives.
        predict: the model.
    """

    name: str
    version: str
    task: TaskSpec
    predict: Predict


class _Part(BaseModel):
    """A part of a request; what the protocol lets a client add is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Parameters(_Part):
    binary_data_size: Annotated[int, Strict()] | None = Field(default=None, ge=0)
    binary_data: Annotated[bool, Strict()] | None = None
    binary_data_output: Annotated[bool, Strict()] | None = None


_NONE = _Parameters()


class _Input(_Part):
    name: str
    datatype: str
    shape: list[Annotated[int, Strict()]] = Field(max_length=8)
    data: list[Any] | None = None
    parameters: _Parameters | None = None


class _Output(_Part):
    name: str
    parameters: _Parameters | None = None


class _Inference(_Part):
    id: str | None = None
    inputs: list[_Input] = Field(min_length=1, max_length=1)
    outputs: list[_Output] | None = Field(default=None, max_length=1)
    parameters: _Parameters | None = None

    @property
    def wants_bytes(self) -> bool:
        """Whether the output shall come as bytes: by its own word, else by the request's."""
        own = self.outputs[0].parameters if self.outputs else None
        if own is not None and own.binary_data is not None:
            return own.binary_data
        return bool((self.parameters or _NONE).binary_data_output)


def answer(model: ServedModel, request: Request) -> Response:
    """Answer any request below ``/v2``.

    Raises:
        RefusedError: the path, the method or what is asked does not fit.
    """
    path = request.url.partition("?")[0].strip("/")
    match [unquote(part) for part in path.split("/")]:
        case ["v2"]:
            return _get(request, _server())
        case ["v2", "health", "live" | "ready" as what]:
            return _get(request, {what: True})
        case ["v2", "models", name, *rest]:
            return _of_model(model, name, rest, request)
    raise RefusedError(404, "no such path: this server speaks Open Inference Protocol v2, below /v2")


def _of_model(model: ServedModel, name: str, rest: list[str], request: Request) -> Response:
    if name != model.name:
        raise RefusedError(404, f"there is no model {name[:100]!r}: this server has {model.name!r}")
    if rest[:1] == ["versions"] and len(rest) > 1:
        version, rest = rest[1], rest[2:]
        if version != model.version:
            raise RefusedError(404, f"{name} has no version {version[:100]!r}: this server has {model.version!r}")
    match rest:
        case []:
            return _get(request, _model(model))
        case ["ready"]:
            return _get(request, {"name": model.name, "ready": True})
        case ["infer"]:
            _allow(request, "POST")
            return infer(model, request)
    raise RefusedError(404, f"no such path below the model {name!r}: there are ready and infer")


def _get(request: Request, body: dict[str, Any]) -> Response:
    _allow(request, "GET")
    return json_response(body)


def _allow(request: Request, method: str) -> None:
    allowed = ("GET", "HEAD") if method == "GET" else (method,)
    if request.method not in allowed:
        raise RefusedError(405, f"this path is asked by {method}", {"Allow": ", ".join(allowed)})


def _server() -> dict[str, Any]:
    return {"name": "metav-audit", "version": __version__, "extensions": ["binary_tensor_data"]}


def _model(model: ServedModel) -> dict[str, Any]:
    shape = [-1, *model.task.domain.shape]
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "pytorch",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": shape}],
        "outputs": [{"name": _output(model), "datatype": "FP64", "shape": [-1, model.task.output.size]}],
    }


def infer(model: ServedModel, request: Request) -> Response:
    """Answer one inference request, whose tensors may come and go as JSON or as bytes.

    1. The JSON is told from the bytes after it, and parsed.
    2. The tensor's name, type, shape and elements are checked against the task.
    3. The model answers.
    4. Its answers are written in the form that was asked for.

    Raises:
        RefusedError: 400 where anything does not fit; 500 where the model's answer is no number.
    """
    # 1.
    head, content = _split(request)
    try:
        asked = _Inference.model_validate_json(head)
    except ValidationError as error:
        raise RefusedError(400, first_problem(error, "request", model=_Inference)) from None
    # 2.
    if asked.outputs and asked.outputs[0].name != _output(model):
        raise RefusedError(
            400, f"there is no output {asked.outputs[0].name[:100]!r}: the model gives {_output(model)!r}"
        )
    inputs = _inputs(asked.inputs[0], content, model.task)
    # 3.
    values = model.predict(inputs)
    if not np.isfinite(values).all():
        raise RefusedError(500, "the model gives NaN or infinite values for these inputs")
    # 4.
    return _written(model, asked, values)


def _split(request: Request) -> tuple[bytes, bytes]:
    text = request.headers.get(_HEADER_LENGTH)
    if text is None:
        return request.content, b""
    if not (text.isascii() and text.isdecimal() and len(text) < 12) or int(text) > len(request.content):
        raise RefusedError(400, "the header Inference-Header-Content-Length does not fit the body")
    return request.content[: int(text)], request.content[int(text) :]


def _inputs(tensor: _Input, values: bytes, task: TaskSpec) -> NDArray[np.float32]:
    """Return the tensor that the task wants, or refuse it."""
    wanted = (-1, *task.domain.shape)
    if tensor.name != INPUT or tensor.datatype != "FP32":
        given = f"{tensor.name[:100]!r} of type {tensor.datatype[:20]}"
        raise RefusedError(400, f"there is no input {given}: the model takes {INPUT!r} of type FP32")
    shape = tuple(tensor.shape)
    if len(shape) != len(wanted) or shape[1:] != wanted[1:] or not 1 <= shape[0] <= MAX_BATCH:
        raise RefusedError(400, f"{INPUT!r} has shape {list(shape)}: {list(wanted)} is taken, {MAX_BATCH} at once")
    elements = _elements(tensor, values)
    if elements.size != prod(shape) or (elements.ndim > 1 and elements.shape != shape):
        raise RefusedError(400, f"the shape {list(shape)} of {INPUT!r} does not fit its {elements.size} elements")
    try:
        return task.domain.check(elements.reshape(shape), repr(INPUT))
    except DataError as error:
        raise RefusedError(400, str(error)) from None


def _elements(tensor: _Input, values: bytes) -> NDArray[Any]:
    """Return a tensor's elements, from its JSON or from the bytes after it; flat, or nested as they came."""
    size = (tensor.parameters or _NONE).binary_data_size
    if (size is None) == (tensor.data is None) or (size or 0) != len(values):
        raise RefusedError(400, f"{INPUT!r} has either data, or binary_data_size and as many bytes after the JSON")
    if size is not None:
        if size % 4:
            raise RefusedError(400, f"{size} bytes are no FP32 elements")
        return np.frombuffer(values, "<f4")
    try:
        elements = np.asarray(tensor.data)
    except ValueError:
        raise RefusedError(400, f"the data of {INPUT!r} are ragged") from None
    if elements.dtype.kind not in "iuf":
        raise RefusedError(400, f"the data of {INPUT!r} are no numbers")
    return elements


def _output(model: ServedModel) -> str:
    return "probabilities" if model.task.output.labelled else "values"


def _written(model: ServedModel, asked: _Inference, values: NDArray[np.float64]) -> Response:
    output: dict[str, Any] = {"name": _output(model), "datatype": "FP64", "shape": list(values.shape)}
    body: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": [output]}
    if asked.id is not None:
        body["id"] = asked.id
    if not asked.wants_bytes:
        output["data"] = values.ravel().tolist()
        return json_response(body)
    content = values.astype("<f8").tobytes()
    output["parameters"] = {"binary_data_size": len(content)}
    head = json.dumps(body).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Response(200, headers, head + content)
