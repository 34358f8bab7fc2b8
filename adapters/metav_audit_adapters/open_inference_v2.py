"""The Open Inference Protocol v2 over REST: KServe, MLServer, Triton; with its binary tensor extension."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from metav_audit.adapter import (
    Adapter,
    Answer,
    AnswerError,
    Guess,
    Hints,
    Inputs,
    Outcome,
    Request,
    Response,
    ScoreKind,
    TaskSpec,
)
from metav_audit_adapters._inputs import TensorOptions, as_whole, check_tensor, check_whole, scaled, tensor
from metav_audit_adapters._rows import LabelOptions, RowReader
from metav_audit_adapters._shared import dumps, join, json_request, refused, versions
from metav_audit_adapters._tensors import HEADER_LENGTH, Datatype, Stated, elements, outputs_of, split, to_bytes

_CRASHES = (b"Internal Server Error", b"Traceback (most recent call last)")
"""How the page of a crash in MLServer begins: without and with its debug mode, which is on unless switched off."""
_ADDRESS = re.compile(r"(https?://.*?)/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/infer)?/?")
_USUAL_NAMES = ("input", "input-0", "input_0", "predict", "inputs", "x")


class OpenInferenceV2Options(TensorOptions, LabelOptions):
    """What an Open Inference endpoint is told."""

    url: str = Field(description="the server's base, such as http://host:8080", pattern=r"^https?://")
    model: str = Field(description="the model's name on the server", min_length=1)
    version: str | None = Field(
        None, description="the model's version; the server's own choice if absent", min_length=1
    )
    input_name: str = Field("input", description="the name of the input tensor", min_length=1)
    output_name: str | None = Field(
        None, description="the name of the output tensor; if absent the first of numbers, or of labels for labels alone"
    )
    datatype: Datatype = Field(
        Datatype.FP32,
        description="of the input tensor: FP32, FP16, FP64, BF16, UINT8 to UINT64, INT8 to INT64; INT... are whole",
    )
    flat: bool = Field(default=False, description="one row of numbers an input: a tensor of shape (batch, numbers)")
    binary: bool = Field(
        default=False, description="send and ask for tensors as bytes; KServe and Triton do, MLServer does not"
    )


class OpenInferenceV2(Adapter):
    """Sends a tensor of shape (batch, *domain.shape), or as the options say; reads scores or labels."""

    name: ClassVar[str] = "open-inference-v2"
    summary: ClassVar[str] = "Open Inference Protocol v2 (KServe, MLServer, Triton): tensors as JSON or bytes"
    Options: ClassVar[type[OpenInferenceV2Options]] = OpenInferenceV2Options
    options: OpenInferenceV2Options

    def __init__(self, task: TaskSpec, options: OpenInferenceV2Options) -> None:
        super().__init__(task, options)
        check_tensor(options, task, type(self))
        self._check_datatype()
        self._rows = RowReader.open(type(self), task, options)
        self._metadata = join(options.url, "v2", "models", options.model, *versions(options.version))
        self._url = f"{self._metadata}/infer"

    @property
    def advice(self) -> str:
        """Where a refused request is to be compared with what the model wants."""
        return (
            "check url and model; compare input_name, datatype, layout, flat and scale with the model's own metadata, "
            f"{self._metadata}, or let 'metav-audit probe' with that address find them out"
        )

    def encode(self, inputs: Inputs) -> Request:
        """Write one tensor, its data flat; in binary the JSON goes first and the little-endian bytes after it."""
        options, values = self.options, tensor(inputs, self.options)
        values = values.reshape(len(values), -1) if options.flat else values
        numbers = as_whole(values) if options.datatype.whole or options.whole else values
        written: dict[str, Any] = {
            "name": options.input_name,
            "shape": list(numbers.shape),
            "datatype": options.datatype.value,
        }
        wanted = [] if options.output_name is None else [{"name": options.output_name}]
        if not options.binary:
            written["data"] = numbers.ravel().tolist()
            return json_request(self._url, {"inputs": [written]} | ({"outputs": wanted} if wanted else {}))
        content = to_bytes(numbers, options.datatype)
        body: dict[str, Any] = {"inputs": [{**written, "parameters": {"binary_data_size": len(content)}}]}
        if wanted:
            body["outputs"] = [{**output, "parameters": {"binary_data": True}} for output in wanted]
        else:
            body["parameters"] = {"binary_data_output": True}
        head = dumps(body)
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
        return Request(self._url, head + content, headers=headers)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the output tensor; its data may come as bytes, flat or nested, whatever was asked for."""
        head, values = split(response)
        outputs = outputs_of(head)
        data, shape = elements(self._output(outputs), outputs, values)
        if self.options.scores is ScoreKind.LABEL:
            # Of whatever shape: (n,), (n, 1) or, for one input, none at all.
            return self._rows.read_all(data, count)
        rows = shape[0] if len(shape) > 1 or (count > 1 and shape) else 1
        width = len(data) // max(rows, 1)
        return self._rows.read_all([data[row * width : (row + 1) * width] for row in range(rows)], count)

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
        if not hints.documents:
            for name in _USUAL_NAMES:
                yield Guess({**given, "input_name": name}, f"{cls.name} {name}")
        for stated in filter(None, map(Stated.read, hints.documents.values())):
            for options in stated.options(task):
                yield Guess({**given, **options}, f"{cls.name} {stated.name}")

    @classmethod
    def misfit(cls, task: TaskSpec, documents: Mapping[str, Any]) -> str:
        """Say where the model's metadata want a tensor that the task's inputs cannot become."""
        for address, document in documents.items():
            stated = Stated.read(document)
            if stated is not None and not any(stated.options(task)):
                shape = ", ".join(map(str, stated.shape))
                return (
                    f"by {address} the model takes {stated.datatype} of shape (batch, {shape}), which this task's "
                    f"inputs of shape {task.domain.shape} cannot be written as"
                )
        return ""

    def _check_datatype(self) -> None:
        """Raise ConfigurationError where the task's numbers do not fit the datatype."""
        options, task = self.options, self.task
        if options.datatype.whole:
            check_whole("datatype", options, task, type(self))
        low, high = scaled(np.array(task.domain.bounds, np.float32), options).tolist()
        least, most = options.datatype.bounds
        if low < least or high > most:
            raise refused(
                type(self),
                "datatype",
                f"{options.datatype} holds {least:g} to {most:g}, the numbers lie between {low:g} and {high:g}: mend "
                "scale and offset, or the datatype",
            )

    def _output(self, outputs: list[dict[str, Any]]) -> dict[str, Any]:
        wanted = self.options.output_name
        if wanted is None:
            labels = self.options.scores is ScoreKind.LABEL
            fit = [each for each in outputs if _holds_labels(each) is labels]
            return (fit or outputs)[0]
        for output in outputs:
            if output.get("name") == wanted:
                return output
        found = ", ".join(repr(str(output.get("name"))[:40]) for output in outputs[:8])
        raise AnswerError(f"the response has no output {wanted!r}, only {found}: mend output_name")


def _holds_labels(output: dict[str, Any]) -> bool:
    datatype = str(output.get("datatype"))
    return datatype == "BYTES" or "INT" in datatype
