"""Open Inference Protocol v2, spoken over real HTTP to a model that is a function."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.adapter import Request
from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.serving.open_inference import MAX_BATCH, ServedModel, answer
from metav_audit.serving.server import RefusedError
from metav_audit.verdict import Asked
from tests.audit.helpers import needed
from tests.builders import linear_model, make_bundle, make_task
from tests.serving.helpers import ask, ask_json, served

TASK = make_task()
LINEAR = linear_model(TASK, 0)
MODEL = ServedModel("a model", "abc", TASK, LINEAR)
BUNDLE = make_bundle(queries=20, task=TASK)
INFER = "/v2/models/a%20model/infer"
GOOD = TASK.domain.sample(3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def url():
    with served(lambda request: answer(MODEL, request)) as running:
        yield running.url


def tensor(inputs=GOOD, **more):
    return {"name": "input", "datatype": "FP32", "shape": list(inputs.shape), "data": inputs.ravel().tolist(), **more}


def test_the_server_and_its_model_describe_themselves(url):
    """Health, server and model metadata, with and without the version."""
    assert ask_json(url, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask_json(url, "GET", "/v2/health/ready") == (200, {"ready": True})
    assert ask_json(url, "GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert ask_json(url, "GET", "/v2/")[0] == 200
    ready = (200, {"name": "a model", "ready": True})
    assert ask_json(url, "GET", "/v2/models/a%20model/ready") == ready
    assert ask_json(url, "GET", "/v2/models/a%20model/versions/abc/ready") == ready
    described = ask_json(url, "GET", "/v2/models/a%20model")[1]
    assert described == ask_json(url, "GET", "/v2/models/a%20model/versions/abc")[1]
    assert described["versions"] == ["abc"]
    assert described["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 5, 5]}]
    assert described["outputs"] == [{"name": "probabilities", "datatype": "FP64", "shape": [-1, 4]}]


@pytest.mark.parametrize("nested", [False, True])
def test_json_in_json_out(url, nested):
    """Data flat or nested; the answer repeats the id, names who answered, and holds every digit."""
    data = GOOD.tolist() if nested else GOOD.ravel().tolist()
    asked = {"id": "7", "inputs": [tensor(data=data)], "outputs": [{"name": "probabilities"}], "parameters": {"x": 1}}
    status, body = ask_json(url, "POST", INFER, asked)
    assert status == 200
    (output,) = body.pop("outputs")
    assert body == {"id": "7", "model_name": "a model", "model_version": "abc"}
    assert (output["datatype"], output["shape"]) == ("FP64", [3, 4])
    assert np.array_equal(np.reshape(output["data"], (3, 4)), LINEAR(GOOD))


def binary(head, values):
    """A request of the binary extension: headers and body."""
    text = json.dumps(head).encode()
    return text + values, {"Inference-Header-Content-Length": str(len(text))}


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
        {
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
            "parameters": {"binary_data_output": False},
        },
    ],
)
def test_bytes_in_bytes_out(url, more):
    """The JSON comes first, as long as the header says, then FP64 in little-endian order."""
    head = {"inputs": [{**tensor(parameters={"binary_data_size": GOOD.nbytes}), "data": None}], **more}
    status, headers, content = ask(url, "POST", INFER, *binary(head, GOOD.astype("<f4").tobytes()))
    length = int(headers["inference-header-content-length"])
    (output,) = json.loads(content[:length])["outputs"]
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert output["parameters"] == {"binary_data_size": len(content) - length}
    assert "data" not in output
    assert np.array_equal(np.frombuffer(content[length:], "<f8").reshape(3, 4), LINEAR(GOOD))


def test_one_side_may_be_json_and_the_other_bytes(url):
    """Each output's own word goes before the request's."""
    head = {
        "inputs": [{**tensor(parameters={"binary_data_size": GOOD.nbytes}), "data": None}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    status, headers, content = ask(url, "POST", INFER, *binary(head, GOOD.astype("<f4").tobytes()))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert len(json.loads(content)["outputs"][0]["data"]) == 12


@pytest.mark.parametrize(
    "options", [{}, {"binary": True}, {"batch": 7, "version": "abc"}, {"binary": True, "batch": 7}]
)
def test_our_own_adapter_reads_every_digit(url, tmp_path, options):
    """Through client and adapter, as JSON and as bytes, the auditor sees the model's own probabilities."""
    fields = {"adapter": "open-inference-v2", "url": url, "model": "a model", **options}
    transcript = audit_endpoint(BUNDLE, Endpoint.open("suspect", fields, TASK), tmp_path)
    answers = np.array([each.scores for each in Asked.of(BUNDLE, transcript).answers])
    assert np.allclose(answers, LINEAR(BUNDLE.inputs), rtol=1e-12, atol=0)
    assert transcript.requests == needed(20, options.get("batch", 1))


BAD = {
    "not JSON": (b"{", "request: Invalid JSON"),
    "not an object": (b"[]", "request: Input should be an object"),
    "no inputs": ({}, "request.inputs: this key is missing"),
    "no tensor": ({"inputs": []}, "at least 1 item"),
    "two tensors": ({"inputs": [tensor(), tensor()]}, "at most 1 item"),
    "another name": ({"inputs": [tensor(name="x")]}, "no input 'x' of type FP32: the model takes 'input' of type FP32"),
    "another type": ({"inputs": [tensor(datatype="FP64")]}, "no input 'input' of type FP64"),
    "no type": ({"inputs": [{"name": "input"}]}, "request.inputs.0.datatype: this key is missing"),
    "another shape": ({"inputs": [tensor(shape=[3, 5, 5])]}, "has shape [3, 5, 5]: [-1, 1, 5, 5] is taken"),
    "shape of texts": ({"inputs": [tensor(shape=["3", 1, 5, 5])]}, "request.inputs.0.shape.0"),
    "shape of fractions": ({"inputs": [tensor(shape=[3.5, 1, 5, 5])]}, "request.inputs.0.shape.0"),
    "negative shape": ({"inputs": [tensor(shape=[-3, 1, 5, 5])]}, "has shape [-3, 1, 5, 5]"),
    "no rows": ({"inputs": [tensor(shape=[0, 1, 5, 5], data=[])]}, "has shape [0, 1, 5, 5]"),
    "too many rows": ({"inputs": [tensor(shape=[MAX_BATCH + 1, 1, 5, 5])]}, f"{MAX_BATCH} at once"),
    "too few elements": ({"inputs": [tensor(data=[0.5] * 74)]}, "does not fit its 74 elements"),
    "nested otherwise": ({"inputs": [tensor(data=[[0.5] * 25] * 3)]}, "does not fit its 75 elements"),
    "ragged": ({"inputs": [tensor(data=[[0.5], 1.0])]}, "are ragged"),
    "texts": ({"inputs": [tensor(data=["0.5"] * 75)]}, "are no numbers"),
    "truths": ({"inputs": [tensor(data=[True] * 75)]}, "are no numbers"),
    "nothings": ({"inputs": [tensor(data=[None] * 75)]}, "are no numbers"),
    "no data": ({"inputs": [tensor(data=None)]}, "either data, or binary_data_size"),
    "out of range": ({"inputs": [tensor(GOOD + 1)]}, "leaves the task's range"),
    "too large": ({"inputs": [tensor(data=[1e300] * 75)]}, "NaN or infinite"),
    "not finite": (json.dumps({"inputs": [tensor(data=[float("nan")] * 75)]}).encode(), "NaN or infinite"),
    "another output": ({"inputs": [tensor()], "outputs": [{"name": "p"}]}, "no output 'p': the model gives"),
    "two outputs": ({"inputs": [tensor()], "outputs": [{"name": "probabilities"}] * 2}, "at most 1 item"),
    "deep": (b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}", "request: Invalid JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_the_task_is_refused_with_400(url, case):
    """The reason names what is wrong, and the server goes on."""
    body, said = BAD[case]
    status, _, content = ask(url, "POST", INFER, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert status == 400
    assert said in json.loads(content)["error"]
    assert ask_json(url, "GET", "/v2/health/ready")[0] == 200


@pytest.mark.parametrize(
    ("size", "values", "length", "said"),
    [
        (GOOD.nbytes, GOOD.nbytes - 1, None, "as many bytes"),
        (GOOD.nbytes, GOOD.nbytes + 1, None, "as many bytes"),
        (7, 7, None, "7 bytes are no FP32"),
        (296, 296, None, "does not fit its 74 elements"),
        (-1, 0, None, "binary_data_size"),
        ("300", 300, None, "binary_data_size"),
        (GOOD.nbytes, GOOD.nbytes, "999999", "does not fit the body"),
        (GOOD.nbytes, GOOD.nbytes, "-1", "does not fit the body"),
        (GOOD.nbytes, GOOD.nbytes, "", "does not fit the body"),
        (GOOD.nbytes, GOOD.nbytes, "3", "Invalid JSON"),
        (None, 300, None, "as many bytes"),
    ],
)
def test_bytes_that_contradict_their_json_are_refused_with_400(url, size, values, length, said):
    """Too few, too many, no whole elements, or a header that does not fit."""
    parameters = {} if size is None else {"binary_data_size": size}
    content, headers = binary({"inputs": [{**tensor(parameters=parameters), "data": None}]}, b"\0" * values)
    if length is not None:
        headers = {"Inference-Header-Content-Length": length}
    status, _, said_back = ask(url, "POST", INFER, content, headers)
    assert status == 400
    assert said in json.loads(said_back)["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/models", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/a%20model/versions/7", 404),
        ("GET", "/v2/models/a%20model/versions", 404),
        ("GET", "/v2/models/a%20model/explain", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/a%20model/versions/7/infer", 404),
        ("POST", "/v2/health/live", 405),
        ("POST", "/v2/models/a%20model", 405),
        ("GET", INFER, 405),
        ("DELETE", INFER, 405),
    ],
)
def test_wrong_paths_and_methods_are_404_and_405(url, method, path, status):
    """With a reason, as for everything that is refused."""
    got, body = ask_json(url, method, path, {} if method == "POST" else None)
    assert (got, list(body)) == (status, ["error"])


def test_a_model_that_answers_no_numbers_is_500():
    """NaN does not leave the server, neither as JSON nor as bytes."""
    model = ServedModel("m", "1", TASK, lambda inputs: np.full((len(inputs), 4), np.nan))
    request = Request("/v2/models/m/infer", json.dumps({"inputs": [tensor()]}).encode())
    with pytest.raises(RefusedError, match="NaN or infinite") as refused:
        answer(model, request)
    assert refused.value.status == 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["name", "datatype", "shape", "data", "parameters"])


@given(field=FIELDS, value=JSON, tail=st.binary(max_size=8), cut=st.integers(0, 400))
def test_whatever_is_sent_is_answered_or_refused(field, value, tail, cut):
    """No field of any kind makes the protocol fail otherwise than by 400."""
    head = json.dumps({"inputs": [tensor(GOOD[:1], **{field: value})]}).encode()
    for content, length in ((head + tail, len(head)), (head[:cut], None), (tail, len(tail))):
        headers = {} if length is None else {"inference-header-content-length": str(length)}
        assert status_of(Request("/v2/models/a model/infer", content, headers=headers)) in (200, 400)


def status_of(request):
    try:
        return answer(MODEL, request).status
    except RefusedError as refused:
        return refused.status
