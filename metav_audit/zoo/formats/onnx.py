"""ONNX models, by onnxruntime on one core; weights in other files are not read, others' operators not run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import DataError
from metav_audit.zoo.formats.base import Format, Given, Said

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(string)": object,
}


def _owns(model: Any) -> bool:
    return type(model).__module__.startswith("onnx.") and hasattr(model, "SerializeToString")


def _pack(model: Any) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))


def _unpack(content: bytes, _: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _answer(session: Any, given: Given) -> Said:
    outputs = session.run(None, _fed(session, given))
    names = [each.name for each in session.get_outputs()]
    for name, output in list(zip(names, outputs, strict=True))[::-1]:
        if isinstance(output, list) and output and isinstance(output[0], dict):
            # What skl2onnx calls a ZipMap: a probability by class, in the order of the classes.
            return Said("probabilities", np.array([list(row.values()) for row in output], dtype=np.float64))
        if isinstance(output, np.ndarray) and output.dtype.kind == "f":
            told: Any = "probabilities" if len(outputs) > 1 and "prob" in name else given.outputs
            return Said(told, output)
    raise DataError(f"the ONNX model gives no numbers, but {', '.join(names)}: export it with its scores")


def _fed(session: Any, given: Given) -> dict[str, NDArray[Any]]:
    wanted = session.get_inputs()
    if given.feed == "frame":
        frame = given.fed
        if missing := [each.name for each in wanted if each.name not in frame]:
            raise DataError(
                f"the ONNX model takes {', '.join(map(repr, missing[:5]))}, which the task's columns are not: name "
                'them alike, or leave feed = "frame" out'
            )
        return {each.name: _typed(frame[each.name].to_numpy()[:, None], each) for each in wanted}
    if len(wanted) != 1:
        raise DataError(f'the ONNX model takes {len(wanted)} inputs: write feed = "frame" if they are columns')
    flat = len(wanted[0].shape) == 2
    return {wanted[0].name: _typed(given.flat if flat else np.ascontiguousarray(given.inputs), wanted[0])}


def _typed(values: NDArray[Any], wanted: Any) -> NDArray[Any]:
    if wanted.type not in _TYPES:
        raise DataError(f"the ONNX model's input {wanted.name!r} is of type {wanted.type}, which is not supported")
    return values.astype(_TYPES[wanted.type])


FORMAT = Format(
    name="onnx",
    title="an ONNX model",
    package="onnxruntime",
    extra="onnx",
    endings=(".onnx",),
    owns=_owns,
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
