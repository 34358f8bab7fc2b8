from __future__ import annotations

import json

import numpy as np
import pytest
from metav_audit_adapters.tensorflow_serving_v1 import TensorFlowServingV1

from metav_audit.adapter import Response
from metav_audit.errors import AnswerError, ConfigurationError
from tests.builders import make_task

TASK = make_task(channels=3)
INPUTS = TASK.domain.sample(2, np.random.default_rng(0))


def adapter(**more):
    return TensorFlowServingV1.open(TASK, {"url": "http://host:8501", "model": "m", **more})


def decode(body, count=2, **more):
    return [answer.scores for answer in adapter(**more).decode(Response(200, {}, json.dumps(body).encode()), count)]


def test_the_request_is_what_the_protocol_says():
    """Instances in a row format, a signature if asked, and the version in the path."""
    request = adapter(version="7", signature_name="probs").encode(INPUTS)
    body = json.loads(request.content)
    assert request.url == "http://host:8501/v1/models/m/versions/7:predict"
    assert body["signature_name"] == "probs"
    assert np.array_equal(np.array(body["instances"], np.float32), INPUTS)


def test_channels_may_stand_last():
    """layout = hwc is what most TensorFlow models take."""
    body = json.loads(adapter(layout="hwc").encode(INPUTS).content)
    assert np.array_equal(np.array(body["instances"], np.float32), INPUTS.transpose(0, 2, 3, 1))


def test_rows_and_named_outputs_are_read():
    """A prediction is a row, or an object whose output is the only one or is named."""
    rows = [[0.5, 0.5], [1, 0]]
    assert decode({"predictions": rows}) == [(0.5, 0.5), (1.0, 0.0)]
    assert decode({"predictions": [{"p": row} for row in rows]}) == [(0.5, 0.5), (1.0, 0.0)]
    named = [{"p": row, "class": 1} for row in rows]
    assert decode({"predictions": named}, output="p") == [(0.5, 0.5), (1.0, 0.0)]
    with pytest.raises(AnswerError, match="'p', 'class': name the one to read"):
        decode({"predictions": named})
    with pytest.raises(AnswerError, match="no 'q'"):
        decode({"predictions": named}, output="q")


@pytest.mark.parametrize(
    "body", [{"error": "no"}, {"predictions": 3}, {"predictions": [[1]]}, [], {"predictions": [1, 2]}]
)
def test_anything_else_is_no_answer(body):
    """Errors within a 200, wrong counts and foreign shapes are AnswerErrors."""
    with pytest.raises(AnswerError):
        decode(body)


def test_a_wrong_option_is_named():
    """The message names adapter and option."""
    with pytest.raises(ConfigurationError, match="tensorflow-serving-v1: layout"):
        adapter(layout="whc")
