from __future__ import annotations

import json

import numpy as np
import pytest
from metav_audit_adapters.open_inference_v2 import OpenInferenceV2

from metav_audit.adapter import Outcome, Response
from metav_audit.errors import AnswerError
from tests.builders import make_task

TASK = make_task()


def adapter(**more):
    return OpenInferenceV2.open(TASK, {"url": "http://host:8080/", "model": "my model", **more})


def decode(outputs, count=2, **more):
    body = {"model_name": "m", "outputs": outputs, "parameters": None}
    return [answer.scores for answer in adapter(**more).decode(Response(200, {}, json.dumps(body).encode()), count)]


def test_the_request_is_what_the_protocol_says():
    """One FP32 tensor with its shape, flat data, and a quoted path."""
    inputs = TASK.domain.sample(2, np.random.default_rng(0))
    request = adapter(input_name="x", output_name="y").encode(inputs)
    body = json.loads(request.content)
    assert request.url == "http://host:8080/v2/models/my%20model/infer"
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/json")
    assert body["outputs"] == [{"name": "y"}]
    (tensor,) = body["inputs"]
    assert (tensor["name"], tensor["shape"], tensor["datatype"]) == ("x", [2, 1, 5, 5], "FP32")
    assert np.array_equal(np.array(tensor["data"], np.float32).reshape(inputs.shape), inputs)


def test_a_version_stands_in_the_path_and_no_output_is_asked_for_by_default():
    """Servers refuse an output name they do not know, so none is guessed."""
    request = adapter(version="3").encode(TASK.domain.sample(1, np.random.default_rng(0)))
    assert request.url == "http://host:8080/v2/models/my%20model/versions/3/infer"
    assert "outputs" not in json.loads(request.content)


@pytest.mark.parametrize(
    "output",
    [
        {"name": "output-0", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "output-0", "shape": [2, 2], "data": [[1, 2], [3, 4]], "parameters": None},
        {"name": "output-0", "shape": [2, 2, 1, 1], "data": [[[[1]], [[2]]], [[[3]], [[4]]]]},
    ],
)
def test_data_may_come_flat_or_nested(output):
    """Servers differ in how they write a tensor; the shape says how to read it."""
    assert decode([output]) == [(1.0, 2.0), (3.0, 4.0)]


def test_one_row_without_a_batch_dimension_is_one_answer():
    """A server that drops the batch dimension of one input is understood."""
    assert decode([{"name": "o", "shape": [4], "data": [1, 2, 3, 4]}], count=1) == [(1.0, 2.0, 3.0, 4.0)]


def test_the_output_is_found_by_name():
    """With output_name the right tensor is read, and a missing one is told with those that are there."""
    outputs = [{"name": "label", "shape": [1], "data": [3]}, {"name": "p", "shape": [1, 2], "data": [0.5, 0.5]}]
    assert decode(outputs, 1, output_name="p") == [(0.5, 0.5)]
    with pytest.raises(AnswerError, match="no output 'q', only 'label', 'p'"):
        decode(outputs, 1, output_name="q")


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        None,
        [3],
        [{}],
        [{"data": [1, 2]}],
        [{"data": [1, 2], "shape": [3, 1]}],
        [{"data": [1, 2], "shape": [-1, -2]}],
        [{"data": [1, 2], "shape": "2"}],
        [{"data": [1, [2]], "shape": [2, 1]}],
        [{"data": [1, 2, 3], "shape": [3, 1]}],
        [{"data": ["a", "b"], "shape": [2, 1]}],
        [{"data": [], "shape": [0, 4]}],
    ],
)
def test_a_tensor_that_contradicts_itself_is_no_answer(outputs):
    """A shape that does not fit its data, or data that is none, is an AnswerError."""
    with pytest.raises(AnswerError):
        decode(outputs)


def test_mlserver_s_500_for_a_wrong_shape_is_not_asked_again():
    """The crash page of MLServer's web framework is fatal, in its debug mode too; other 500s may pass."""
    assert adapter().classify(Response(500, {}, b"Internal Server Error")) is Outcome.FATAL
    page = b'Traceback (most recent call last):\n  File "errors.py", line 165, in __call__\nValueError: cannot reshape'
    assert adapter().classify(Response(500, {}, page)) is Outcome.FATAL
    assert adapter().classify(Response(503, {}, b"Internal Server Error")) is Outcome.TRANSIENT
    assert adapter().classify(Response(500, {}, b'{"error": "busy"}')) is Outcome.TRANSIENT


def binary(outputs, values, count=1, length=None, **more):
    head = json.dumps({"outputs": outputs}).encode()
    headers = {"inference-header-content-length": str(len(head) if length is None else length)}
    response = Response(200, headers, head + values)
    return [answer.scores for answer in adapter(binary=True, **more).decode(response, count)]


def tensor(name, size, datatype="FP32", shape=(1, 2)):
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_a_binary_request_is_the_json_and_then_the_bytes():
    """The header tells where the JSON ends; a named output is asked for in binary by itself."""
    inputs = TASK.domain.sample(2, np.random.default_rng(0))
    request = adapter(binary=True, output_name="y").encode(inputs)
    length = int(request.headers["Inference-Header-Content-Length"])
    body = json.loads(request.content[:length])
    assert request.content[length:] == inputs.astype("<f4").tobytes()
    assert body["inputs"][0]["parameters"] == {"binary_data_size": 200}
    assert "data" not in body["inputs"][0]
    assert body["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8")])
def test_bytes_are_read_in_the_outputs_order(datatype, dtype):
    """Each output's bytes stand where the ones before it end, JSON outputs between them or not."""
    values = np.array([[0.25, 0.75]], dtype).tobytes()
    outputs = [tensor("a", 8), {"name": "j", "shape": [1], "data": [1]}, tensor("b", len(values), datatype)]
    assert binary(outputs, b"\0" * 8 + values, output_name="b") == [(0.25, 0.75)]


def test_a_server_that_answers_in_json_after_all_is_understood():
    """What was asked for in binary may come as JSON, with the header or without."""
    outputs = [{"name": "o", "shape": [1, 2], "data": [0.25, 0.75]}]
    assert decode(outputs, 1, binary=True) == binary(outputs, b"") == [(0.25, 0.75)]


@pytest.mark.parametrize(
    ("output", "values", "length"),
    [
        (tensor("o", 8), b"\0" * 7, None),
        (tensor("o", 8), b"\0" * 9, None),
        (tensor("o", 7), b"\0" * 7, None),
        (tensor("o", 8, "INT8"), b"\0" * 8, None),
        (tensor("o", 8, "FP64"), b"\0" * 8, None),
        (tensor("o", -8), b"\0" * 8, None),
        (tensor("o", "8"), b"\0" * 8, None),
        (tensor("o", 8), b"\0" * 8, 9999),
        (tensor("o", 8), b"\0" * 8, "many"),
        (tensor("o", 8), b"\0" * 8, 5),
    ],
)
def test_bytes_that_contradict_their_json_are_no_answer(output, values, length):
    """Too few, too many, another type, or a header that does not fit."""
    with pytest.raises(AnswerError):
        binary([output], values, length=length)
