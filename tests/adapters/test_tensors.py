"""Open Inference tensors of every datatype and form, over real servers that take nothing else."""

from __future__ import annotations

import json
import math
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metav_audit_adapters._tensors import Datatype, to_bytes
from metav_audit_adapters.open_inference_v2 import OpenInferenceV2

from metav_audit.adapter import Response
from metav_audit.audit import audit_endpoint
from metav_audit.audit.probe.run import Plan, probe
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError
from metav_audit.task import ImageDomain, TaskSpec
from metav_audit.task.domains import LatentDomain
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.adapters.helpers import refuses
from tests.audit.helpers import Pauses, endpoint
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.servers import ModelServer, Reply

GREY, COLOUR = make_task(side=6), make_task(channels=3, side=6)
CODES = {"UINT8": "B", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d"}


def reply(body, status=200, **headers):
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def tensor_of(seen):
    """The one tensor of a request, with its elements as Python numbers, from JSON or from bytes."""
    length = int(seen.headers.get("inference-header-content-length", len(seen.body)))
    (stated,) = json.loads(seen.body[:length])["inputs"]
    if "data" in stated:
        return stated, stated["data"]
    assert stated["parameters"]["binary_data_size"] == len(seen.body) - length
    return stated, [number for (number,) in struct.iter_unpack(f"<{CODES[stated['datatype']]}", seen.body[length:])]


def strict(task, datatype, shape, undo, low=0, high=1, answer=None):
    """A server of one model that takes one datatype and shape, whole numbers as such, and states them."""
    model = linear_model(task, 0)

    def play(number, seen):
        if not seen.body:
            stated = {"name": "pix", "datatype": datatype, "shape": [-1, *shape]}
            return reply({"name": "m", "inputs": [stated], "outputs": [{"name": "p"}]})
        stated, data = tensor_of(seen)
        if (stated["name"], stated["datatype"], stated["shape"][1:]) != ("pix", datatype, list(shape)):
            return reply({"error": f"expected {datatype} {shape}, got {stated['datatype']} {stated['shape'][1:]}"}, 400)
        if "INT" in datatype and not all(type(number) is int for number in data):
            return reply({"error": "whole numbers are written without a fraction"}, 400)
        if len(data) != math.prod(stated["shape"]):
            return reply({"error": "the data do not fit the shape"}, 400)
        wire = np.array(data, np.float64).reshape(-1, *shape)
        scores = model(undo((wire - low) / (high - low)).reshape(-1, *task.domain.shape))
        return reply(
            {"outputs": [{"name": "p", "datatype": "FP64", "shape": list(scores.shape), "data": scores.tolist()}]}
        )

    return ModelServer(None, fault=play)


def last(wire):
    return wire.transpose(0, 3, 1, 2)


def one_channel(wire):
    assert (wire == wire[:, :1]).all()
    return wire[:, :1]


FORMS = {
    "whole, channels last": (
        COLOUR, "UINT8", (6, 6, 3), last, (0, 255), {"datatype": "UINT8", "layout": "hwc", "scale": 255}
    ),
    "signed": (GREY, "INT8", (1, 6, 6), lambda x: x, (-128, 127), {"datatype": "INT8", "scale": 255, "offset": -128}),
    "wide": (GREY, "INT64", (6, 6), lambda x: x, (0, 255), {"datatype": "INT64", "layout": "hw", "scale": 255}),
    "half": (GREY, "FP16", (1, 6, 6), lambda x: x, (0, 1), {"datatype": "FP16"}),
    "double": (GREY, "FP64", (1, 6, 6), lambda x: x, (-1, 1), {"datatype": "FP64", "scale": 2, "offset": -1}),
    "grey as colours": (GREY, "FP32", (3, 6, 6), one_channel, (0, 1), {"colours": "rgb"}),
    "grey as colours, last": (
        GREY, "UINT8", (6, 6, 3), lambda x: one_channel(last(x)), (0, 255),
        {"datatype": "UINT8", "colours": "rgb", "layout": "hwc", "scale": 255},
    ),
    "flat": (GREY, "FP32", (36,), lambda x: x, (0, 255), {"flat": True, "scale": 255}),
}  # fmt: skip


@pytest.mark.parametrize("binary", [False, True], ids=["json", "bytes"])
@pytest.mark.parametrize("form", FORMS)
def test_a_tensor_of_any_kind_carries_the_fingerprint(tmp_path, form, binary):
    """The target behind a server that is strict about datatype, shape and whole numbers matches."""
    task, datatype, shape, undo, ends, options = FORMS[form]
    bundle = make_bundle(queries=6, task=task)
    with strict(task, datatype, shape, undo, *ends) as server:
        asked = endpoint(server.url, task, input_name="pix", binary=binary, batch=3, **options)
        transcript = audit_endpoint(bundle, asked, tmp_path, sleep=Pauses())
    assert decide(bundle, read(bundle, transcript)).outcome is VerdictOutcome.MATCH


@pytest.mark.parametrize("form", FORMS)
def test_a_probe_reads_the_tensor_from_the_metadata(form):
    """Datatype, layout, colours, flatness and range are found within twelve requests."""
    task, datatype, shape, undo, ends, options = FORMS[form]
    bundle = with_natural(make_bundle(task=task, spread=0.2), mixed=True)
    with strict(task, datatype, shape, undo, *ends) as server:
        found = probe(Plan(bundle, f"{server.url}/v2/models/m"))
    assert found.fields["adapter"] == "open-inference-v2"
    assert {name: found.fields.get(name) for name in options} == options
    assert found.agreement == 1


def test_a_probe_says_where_the_metadata_want_something_else():
    """A model of larger pictures, or of texts, is no model of this task."""
    bundle = with_natural(make_bundle(task=GREY, spread=0.2), mixed=True)
    for datatype, shape in (("FP32", (3, 224, 224)), ("BYTES", (1,))):
        stated = reply({"inputs": [{"name": "pix", "datatype": datatype, "shape": [-1, *shape]}]})
        refused = reply({"error": "unexpected input"}, 400)

        def play(number, seen, stated=stated, refused=refused):
            return refused if seen.body else stated

        with ModelServer(None, fault=play) as server, pytest.raises(RemoteError) as caught:
            probe(Plan(bundle, f"{server.url}/v2/models/m"))
        assert f"the model takes {datatype} of shape (batch, {', '.join(map(str, shape))})" in str(caught.value)
        assert "shape (1, 6, 6) cannot be written as" in str(caught.value)


def test_a_refused_tensor_names_what_to_compare(tmp_path):
    """The server's words, the options that may be wrong, and where the model states what it takes."""
    with strict(GREY, "UINT8", (6, 6), None) as server, pytest.raises(RemoteError) as caught:
        audit_endpoint(make_bundle(task=GREY), endpoint(server.url, GREY, input_name="pix"), tmp_path)
    for words in ("expected UINT8 (6, 6), got FP32 [1, 6, 6]", "datatype, layout", f"{server.url}/v2/models/m"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        (GREY, {"datatype": "UINT8"}, "numbers between 0 and 1 that differ would be the same whole ones: set scale"),
        (GREY, {"whole": True}, "whole: numbers between 0 and 1"),
        (GREY, {"datatype": "INT8", "scale": 255}, "INT8 holds -128 to 127, the numbers lie between 0 and 255"),
        (GREY, {"datatype": "UINT8", "scale": 255, "offset": -1}, "UINT8 holds 0 to 255"),
        (TaskSpec(ImageDomain(1, 6, 6, 0, 255), GREY.output), {"datatype": "FP16", "scale": 1e4}, "FP16 holds"),
        (TaskSpec(LatentDomain(5), GREY.output), {"datatype": "INT32"}, "would be the same whole ones"),
        (GREY, {"datatype": "BYTES"}, "datatype"),
        (GREY, {"layout": "hw", "colours": "rgb"}, "'hw' is for images of one channel"),
        (COLOUR, {"layout": "hw"}, "'hw' is for images of one channel"),
        (TaskSpec(LatentDomain(5), GREY.output), {"layout": "hwc"}, "'hwc' is for images"),
        (GREY, {"colours": "bgr"}, "colours"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(task, options, said):
    """Before anything is sent, with the range in the message."""
    refuses("open-inference-v2", re.escape(said), task, model="m", **options)


def decoded(output, count, content=b"", **options):
    adapter = OpenInferenceV2.open(GREY, {"url": "http://host", "model": "m", **options})
    head = json.dumps({"outputs": [output] if isinstance(output, dict) else output}).encode()
    headers = {"inference-header-content-length": str(len(head))} if content else {}
    return [answer.scores for answer in adapter.decode(Response(200, headers, head + content), count)]


SECOND, FIRST = (None, 1.0, None, None), (1.0, None, None, None)


@pytest.mark.parametrize("shape", [[2], [2, 1], [2, 1, 1]])
@pytest.mark.parametrize(
    ("datatype", "data", "label_map"),
    [("BYTES", ["class 1", "class 0"], {}), ("INT64", [1, 0], {"1": "class 1", "0": "class 0"})],
)
def test_labels_come_as_texts_or_numbers_of_any_shape(shape, datatype, data, label_map):
    """One a row, with an axis of their own or without."""
    output = {"name": "y", "datatype": datatype, "shape": shape, "data": data}
    assert decoded(output, 2, scores="label", label_map=label_map) == [SECOND, FIRST]


def test_one_label_may_have_no_shape_at_all():
    """Of shape [], as a list of one or bare."""
    for data in ("class 1", ["class 1"]):
        assert decoded({"datatype": "BYTES", "shape": [], "data": data}, 1, scores="label") == [SECOND]


def test_labels_come_as_bytes_too():
    """Texts each behind its length, numbers in eight bytes."""
    texts = b"".join(len(text).to_bytes(4, "little") + text for text in (b"class 1", b"class 0"))
    output = {"datatype": "BYTES", "shape": [2, 1], "parameters": {"binary_data_size": len(texts)}}
    assert decoded(output, 2, texts, scores="label") == [SECOND, FIRST]
    numbers = struct.pack("<2q", 1, 0)
    output = {"datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": len(numbers)}}
    assert decoded(output, 2, numbers, scores="label", label_map={"1": "class 1", "0": "class 0"}) == [SECOND, FIRST]
    for broken in (b"\7\0\0\0class", b"\7\0", b"\1\0\0\0\xff"):
        output = {"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(broken)}}
        with pytest.raises(AnswerError, match="no texts"):
            decoded(output, 1, broken, scores="label")


def test_the_output_is_the_first_of_its_kind():
    """Scikit-learn's exporters put the labels first and the scores after them."""
    both = [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]},
        {"name": "scores", "datatype": "FP32", "shape": [1, 4], "data": [0.1, 0.7, 0.1, 0.1]},
    ]
    assert decoded(both, 1) == [(0.1, 0.7, 0.1, 0.1)]
    assert decoded(both[::-1], 1, scores="label", label_map={"1": "class 1"}) == [SECOND]


def test_scores_of_half_precision_come_as_bytes():
    """BF16 is the upper half of FP32."""
    content = struct.pack(
        "<4H", *(number >> 16 for number in struct.unpack("<4I", struct.pack("<4f", 0.5, 0.25, 0.25, 0)))
    )
    output = {"datatype": "BF16", "shape": [1, 4], "parameters": {"binary_data_size": 8}}
    assert decoded(output, 1, content) == [(0.5, 0.25, 0.25, 0.0)]


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_bf16_is_the_nearest(number):
    """No other number of sixteen bits lies nearer."""
    (bits,) = struct.unpack("<H", to_bytes(np.array([number], np.float32), Datatype.BF16))
    near = [struct.unpack("<f", struct.pack("<I", (each & 0xFFFF) << 16))[0] for each in (bits - 1, bits, bits + 1)]
    assert abs(near[1] - number) <= min(abs(each - number) for each in near if not math.isnan(each))


@given(st.binary(max_size=200), st.integers(1, 60))
def test_whatever_comes_as_bytes_is_an_answer_or_an_answer_error(content, length):
    """Of whatever datatype they claim to be."""
    for datatype in (*Datatype, "BYTES", "BOOL", "STRING", 7):
        output = {"datatype": datatype, "shape": [1, 4], "parameters": {"binary_data_size": len(content)}}
        try:
            decoded(output, 1, content or b"x")
        except AnswerError:
            continue


def test_an_integer_of_the_option_is_refused_with_its_name():
    """A datatype that is none names those that are."""
    with pytest.raises(ConfigurationError, match="UINT8"):
        endpoint("http://host", GREY, datatype="uint8")
