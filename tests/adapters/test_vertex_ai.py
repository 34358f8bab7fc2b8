from __future__ import annotations

import json

import numpy as np
import pytest

from metav_audit.adapter import Response
from metav_audit.audit.wire.identity import identify
from metav_audit.errors import AnswerError
from tests.adapters.helpers import opened, refuses, scores
from tests.adapters.protocols import LABELS, TASK

ADAPTER = opened("vertex-ai", url="https://host/v1/projects/p/locations/l/endpoints/7")


def test_automl_s_paired_lists_are_read():
    """For images and for tables; what is not among them is missing."""
    image = {"displayNames": [LABELS[3], LABELS[0]], "confidences": [0.7, 0.2], "ids": ["1", "2"]}
    table = {"classes": list(LABELS), "scores": [0.1, 0.2, 0.3, 0.4]}
    read = scores(ADAPTER, {"predictions": [image, table]}, 2)
    assert read == [(0.2, None, None, 0.7), (0.1, 0.2, 0.3, 0.4)]


@pytest.mark.parametrize(
    "prediction",
    [
        {"displayNames": list(LABELS), "confidences": [0.1]},
        {"displayNames": list(LABELS)},
        {"displayNames": 3, "confidences": 3},
        {"displayNames": [LABELS[0], LABELS[0]], "confidences": [0.1, 0.2]},
        {"displayNames": [[]], "confidences": [0.1]},
    ],
)
def test_lists_that_do_not_pair_are_refused(prediction):
    """Labels without scores, doubled ones and foreign ones are AnswerErrors."""
    with pytest.raises(AnswerError):
        scores(ADAPTER, {"predictions": [prediction]})


def test_the_deployed_model_is_evidence():
    """Its number comes in the body, and is recorded as who answered."""
    named = {"deployedModelId": "77", "modelVersionId": "2", "model": "projects/1/models/x"}
    assert identify(Response(200, {}, json.dumps({"predictions": [], **named}).encode())) == named


def test_an_instance_may_be_a_template_and_the_address_may_be_whole():
    """AutoML wants {"content": base64}; parameters go along."""
    adapter = opened("vertex-ai", url="https://host/e/7:predict", instance={"x": "{{input}}"}, parameters={"a": 1})
    request = adapter.encode(TASK.domain.sample(1, np.random.default_rng(0)))
    assert request.url == "https://host/e/7:predict"
    body = json.loads(request.content)
    assert list(body["instances"][0]) == ["x"]
    assert body["parameters"] == {"a": 1}


def test_a_wrong_option_is_named():
    """The instance needs its slot, the address its path."""
    refuses("vertex-ai", "instance", instance={"x": 1})
    refuses("vertex-ai", "instance", instance="{{inputs}}")
    refuses("vertex-ai", "url", url="https://host")
