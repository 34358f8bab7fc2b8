"""Tensors of the Open Inference Protocol v2: datatypes, the binary extension, and what a model states of its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.adapter import AnswerError, Response, TaskSpec, flatten, read_json
from metav_audit_adapters._inputs import Colours, Layout
from metav_audit_adapters._shared import member
from metav_audit_adapters._ways import ranges

HEADER_LENGTH = "Inference-Header-Content-Length"
_MAX_DIMENSIONS = 8


class Datatype(StrEnum):
    """What a tensor's elements are, of those that numbers can be sent as."""

    FP32 = "FP32"
    FP16 = "FP16"
    FP64 = "FP64"
    BF16 = "BF16"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"

    @property
    def whole(self) -> bool:
        """Whether the elements are whole numbers."""
        return "INT" in self.value

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest element."""
        if self is Datatype.BF16:
            return _bounds(np.finfo(np.float32))
        dtype = np.dtype(_DTYPES[self.value])
        return _bounds(np.iinfo(dtype) if self.whole else np.finfo(dtype))


_DTYPES = {"BOOL": "<u1", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"} | {
    f"{kind}INT{8 * size}": f"<{code}{size}" for kind, code in (("", "i"), ("U", "u")) for size in (1, 2, 4, 8)
}


def to_bytes(values: NDArray[Any], datatype: Datatype) -> bytes:
    """Return a tensor's elements as little-endian bytes; BF16 is the nearest, ties to even."""
    if datatype is not Datatype.BF16:
        return values.astype(_DTYPES[datatype.value]).tobytes()
    bits = values.astype("<f4").view("<u4")
    nearest: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return nearest.tobytes()


def split(response: Response) -> tuple[Any, bytes]:
    """Parse the JSON, which is the whole body or, by the header's word, its start; return it and the bytes after.

    Raises:
        AnswerError: it is no JSON, or the header does not fit the body.
    """
    text = response.headers.get(HEADER_LENGTH.lower())
    if text is None:
        return read_json(response), b""
    if not (text.isascii() and text.isdecimal() and len(text) < 12) or int(text) > len(response.content):
        raise AnswerError(f"the response's header {HEADER_LENGTH} does not fit its body")
    length = int(text)
    return read_json(replace(response, content=response.content[:length])), response.content[length:]


def outputs_of(head: Any) -> list[dict[str, Any]]:
    """Return a response's output tensors, as they stand in its JSON.

    Raises:
        AnswerError: there are none.
    """
    outputs = member(head, "outputs")
    if not isinstance(outputs, list) or not outputs or not all(isinstance(each, dict) for each in outputs):
        raise AnswerError("the response's 'outputs' is not a list of tensors")
    return outputs


def elements(output: dict[str, Any], outputs: list[dict[str, Any]], values: bytes) -> tuple[list[Any], list[int]]:
    """Return a tensor's elements in row-major order, and its shape.

    They come from its own JSON, flat or nested, or from its share of the bytes, in the outputs' order.

    Raises:
        AnswerError: shape, datatype, elements and bytes contradict each other.
    """
    size = _binary_size(output)
    if size is None:
        data = member(output, "data")
        found = flatten(data if isinstance(data, list) else [data])
    else:
        sizes = [_binary_size(each) or 0 for each in outputs]
        start = sum(sizes[: next(place for place, each in enumerate(outputs) if each is output)])
        if sum(sizes) != len(values):
            raise AnswerError("an output's bytes do not fit what its JSON says")
        found = _from_bytes(values[start : start + size], str(output.get("datatype")))
    shape = member(output, "shape")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(_is_size(each) for each in shape):
        raise AnswerError("an output's shape is not a list of sizes")
    if prod(shape) != len(found):
        raise AnswerError(f"an output's shape {shape} does not fit its {len(found)} elements")
    return found, shape


def _from_bytes(content: bytes, datatype: str) -> list[Any]:
    if datatype == "BYTES":
        return list(_texts(content))
    half = datatype == "BF16"
    dtype = np.dtype("<u2") if half else np.dtype(_DTYPES[datatype]) if datatype in _DTYPES else None
    if dtype is None or len(content) % dtype.itemsize:
        raise AnswerError(f"an output's bytes are not of the datatype that its JSON says, {datatype[:20]!r}")
    found = np.frombuffer(content, dtype)
    read: list[Any] = ((found.astype("<u4") << 16).view("<f4") if half else found).tolist()
    return read


def _texts(content: bytes) -> Iterator[str]:
    """Read texts, each behind its length in four bytes."""
    at = 0
    while at < len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4], "little")
        if at + 4 > len(content) or end > len(content):
            raise AnswerError("an output's bytes are no texts, each behind its length")
        try:
            yield content[at + 4 : end].decode()
        except UnicodeDecodeError:
            raise AnswerError("an output's bytes are no texts in UTF-8") from None
        at = end


def _binary_size(output: dict[str, Any]) -> int | None:
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and not _is_size(size):
        raise AnswerError("an output's binary_data_size is no size")
    return size


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 31


def _bounds(info: Any) -> tuple[float, float]:
    return float(info.min), float(info.max)


@dataclass(frozen=True, slots=True)
class Stated:
    """What a model's metadata say of its one input.

    Attributes:
        name: of the tensor.
        datatype: of its elements, in the protocol's words.
        shape: of one input, without the batch; a size that varies is -1.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def read(cls, document: Any) -> Stated | None:
        """Read a model's metadata; None where they are none, or the model has several inputs."""
        inputs = document.get("inputs") if isinstance(document, dict) else None
        if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
            return None
        name, datatype, shape = (inputs[0].get(each) for each in ("name", "datatype", "shape"))
        if not isinstance(name, str) or not name or not isinstance(shape, list):
            return None
        if not 1 <= len(shape) <= _MAX_DIMENSIONS or not all(type(size) is int for size in shape):
            return None
        return cls(name, str(datatype or Datatype.FP32.value)[:20], tuple(shape[1:]))

    def options(self, task: TaskSpec) -> Iterator[dict[str, Any]]:
        """Yield the options with which a task's inputs become this tensor; none where they cannot."""
        if self.datatype not in Datatype.__members__:
            return
        datatype = Datatype(self.datatype)
        base = {"input_name": self.name} | ({} if datatype is Datatype.FP32 else {"datatype": datatype.value})
        for form in self._forms(task.domain.shape):
            for numbers in _ranges(datatype, *task.domain.bounds):
                yield {**base, **form, **numbers}

    def _forms(self, shape: tuple[int, ...]) -> Iterator[dict[str, Any]]:
        """Yield layout, colours and flatness that give the stated shape."""
        for form, given in _forms(shape):
            if len(given) == len(self.shape) and all(
                stated in (-1, size) for stated, size in zip(self.shape, given, strict=True)
            ):
                yield form


def _ranges(datatype: Datatype, low: float, high: float) -> Iterator[dict[str, Any]]:
    """Yield how numbers are brought into the ranges that are usual with a datatype."""
    if datatype is Datatype.INT8:
        scale = 255 / (high - low)
        yield {"scale": scale, "offset": -128 - low * scale}
        return
    for numbers in ranges(low, high):
        if bool(numbers.get("whole")) or not datatype.whole:
            yield {name: value for name, value in numbers.items() if name != "whole"}


def _forms(shape: tuple[int, ...]) -> Iterator[tuple[dict[str, Any], tuple[int, ...]]]:
    """Yield the ways to arrange an input, each with its shape."""
    yield {}, shape
    if len(shape) == 3:
        channels, *sides = shape
        yield {"layout": Layout.HWC.value}, (*sides, channels)
        if channels == 1:
            yield {"layout": Layout.HW.value}, tuple(sides)
            yield {"colours": Colours.RGB.value}, (3, *sides)
            yield {"colours": Colours.RGB.value, "layout": Layout.HWC.value}, (*sides, 3)
        yield {"flat": True}, (prod(shape),)
        if channels > 1:
            yield {"flat": True, "layout": Layout.HWC.value}, (prod(shape),)
