from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from metav_audit_adapters.json_template import JsonTemplate
from PIL import Image

from metav_audit.adapter import Outcome, Response
from metav_audit.errors import AnswerError, ConfigurationError
from tests.builders import make_task

TASK = make_task(channels=3)
INPUTS = TASK.domain.sample(2, np.random.default_rng(0))
LABELS = TASK.output.labels


def adapter(body="{{input}}", **more):
    return JsonTemplate.open(TASK, {"url": "http://host/score?v=1", "body": body, **more})


def encoded(count=1, **more):
    request = adapter(**more).encode(INPUTS[:count])
    assert request.url == "http://host/score?v=1"
    return json.loads(request.content)


def decode(response, count=1, **more):
    return [answer.scores for answer in adapter(**more).decode(Response(200, {}, json.dumps(response).encode()), count)]


def test_the_template_is_filled_wherever_the_slot_stands():
    """The slot may be the body itself, or lie deep in tables and lists."""
    assert np.array_equal(np.array(encoded(), np.float32), INPUTS[0])
    deep = encoded(body={"a": [{"x": "{{input}}", "k": 5}], "keep": "text"})
    assert np.array_equal(np.array(deep["a"][0]["x"], np.float32), INPUTS[0])
    assert (deep["a"][0]["k"], deep["keep"]) == (5, "text")


def test_several_inputs_stand_as_a_list():
    """{{inputs}} is the whole batch."""
    body = encoded(2, body={"rows": "{{inputs}}"}, batch=2, encoding="flat")
    assert np.array_equal(np.array(body["rows"], np.float32), INPUTS.reshape(2, -1))


def test_layout_and_scale_are_applied():
    """Channels last, and 0..255 instead of 0..1, whole numbers staying whole."""
    body = encoded(layout="hwc", scale=255)
    values = np.array(body)
    assert values.shape == (5, 5, 3)
    assert np.array_equal(values, TASK.domain.grid(INPUTS)[0].transpose(1, 2, 0))


def test_a_picture_is_sent_as_base64_png_and_loses_nothing():
    """The decoded PNG holds the very levels; a slot within a text is filled too."""
    body = encoded(body={"image": "data:image/png;base64,{{input}}"}, encoding="png_base64")
    picture = Image.open(io.BytesIO(base64.b64decode(body["image"].removeprefix("data:image/png;base64,"))))
    assert np.array_equal(np.array(picture), TASK.domain.grid(INPUTS)[0].transpose(1, 2, 0))


def test_three_forms_of_an_answer_are_read():
    """Numbers in label order, an object of labels, a list of labelled scores under any keys."""
    numbers = [0.1, 0.2, 0.3, 0.4]
    pairs = list(zip(LABELS, numbers, strict=True))[::-1]
    assert decode(numbers) == [tuple(numbers)]
    assert decode({"out": [{"scores": dict(pairs)}]}, answer="out.0.scores") == [tuple(numbers)]
    labelled = [{"name": label, "p": score} for label, score in pairs]
    assert decode(labelled, label_key="name", score_key="p") == [tuple(numbers)]
    many = {"body": ["{{inputs}}"], "batch": 2, "answer": "rows"}
    assert decode({"rows": [numbers, dict(pairs)]}, 2, **many) == [tuple(numbers)] * 2


def test_a_class_that_is_not_shown_is_missing_and_not_0():
    """Top-k answers leave the other classes None."""
    assert decode({LABELS[2]: 0.9, LABELS[0]: None}) == [(None, None, 0.9, None)]
    assert decode([{"label": LABELS[1], "score": 0.6}]) == [(None, 0.6, None, None)]


def test_the_api_s_own_labels_are_mapped():
    """label_map translates, numbers count as their text, and labels without an entry stand for themselves."""
    mapped = {"label_map": {"cat": LABELS[0], "3": LABELS[3]}}
    assert decode({"cat": 0.5, LABELS[1]: 0.2}, **mapped) == [(0.5, 0.2, None, None)]
    assert decode([{"label": 3, "score": 1}], **mapped) == [(None, None, None, 1.0)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"dog": 0.5}', "'dog', which the task lacks"),
        (b'[{"label": true, "score": 1}]', "'True'"),
        (b'[{"label": "class 0", "score": 1}, {"label": "class 0", "score": 0}]', "'class 0' twice"),
        (b'{"class 0": 0.5, "cat": 0.5}', "'class 0' twice"),
        (b'{"class 0": 0.5, "class 0": 0.4}', "twice"),
        (b'[{"label": "class 0"}]', "lacks 'label' or 'score'"),
        (b'[{"label": "class 0", "score": 1}, 3]', "lacks"),
        (b'{"class 0": "high"}', "not a list of numbers"),
        (b"3", "not a list of numbers"),
    ],
)
def test_a_row_that_cannot_be_trusted_is_refused(content, said):
    """Unknown and doubled labels, missing keys and texts for scores are AnswerErrors that name them."""
    with pytest.raises(AnswerError, match=said):
        adapter(label_map={"cat": LABELS[0]}).decode(Response(200, {}, content), 1)


@pytest.mark.parametrize("path", ["result.1", "result.x", "scores", "result.0.0.0"])
def test_a_path_that_leads_nowhere_says_where_it_ends(path):
    """The message names the step and what is there instead."""
    with pytest.raises(AnswerError, match="mend the path"):
        decode({"result": [[0.5]]}, answer=path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"body": {"x": 1}}, "put"),
        ({"body": ["{{input}}", "{{inputs}}"]}, "not both"),
        ({"body": "{{input}}", "batch": 2}, "takes one input"),
        ({"body": "{{input}}", "label_map": {"a": "no such"}}, "no label 'no such'"),
        ({"body": "{{input}}", "scale": 0}, "scale"),
        ({"body": "{{input}}", "encoding": "jpeg"}, "encoding"),
        ({}, "body"),
    ],
)
def test_a_wrong_option_is_named(options, said):
    """Mistakes in the options are found when the adapter is opened."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        JsonTemplate.open(TASK, {"url": "http://host", **options})
    assert "json-template" in str(caught.value)


def test_clouds_that_throttle_with_400_are_understood():
    """SageMaker throttles with 400; other 400s are fatal; 530 is a passing fault."""
    throttled = Response(400, {}, b'{"__type": "ThrottlingException"}')
    assert adapter().classify(throttled) is Outcome.THROTTLED
    assert adapter().classify(Response(400, {}, b"no")) is Outcome.FATAL
    assert adapter().classify(Response(530, {}, b"")) is Outcome.TRANSIENT
    assert adapter().classify(Response(424, {}, b"")) is Outcome.FATAL
