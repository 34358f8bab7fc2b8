from __future__ import annotations

import numpy as np
import pytest

from metav_audit.adapter import Outcome
from tests.adapters.helpers import opened, outcome, refuses, scores
from tests.adapters.protocols import TASK, form, picture

FIELDS = {"api": "/v1/classify", "body": {"images": "{{inputs}}"}, "batch": 2}


def test_the_method_s_route_stands_in_the_path_and_its_result_is_bare():
    """Arguments by name, rows of scores back."""
    adapter = opened("bentoml", **{**FIELDS, "url": "http://host:3000/"})
    assert adapter.encode(TASK.domain.sample(2, np.random.default_rng(0))).url == "http://host:3000/v1/classify"
    assert scores(adapter, [[0.1, 0.2, 0.3, 0.4]] * 2, 2) == [(0.1, 0.2, 0.3, 0.4)] * 2


def test_a_method_that_takes_a_picture_gets_a_form():
    """PIL.Image arguments arrive as a file of a form."""
    inputs = TASK.domain.sample(1, np.random.default_rng(0))
    parts = form(opened("bentoml", api="classify", upload="image").encode(inputs))
    assert np.array_equal(picture(parts["image"]), inputs)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, Outcome.THROTTLED), (503, Outcome.TRANSIENT), (504, Outcome.TRANSIENT), (400, Outcome.FATAL)],
)
def test_its_traffic_limits_may_pass(status, expected):
    """max_concurrency gives 429, timeout 504."""
    assert outcome(opened("bentoml", **FIELDS), status) is expected


def test_a_wrong_option_is_named():
    """The route is a path and nothing else."""
    refuses("bentoml", "api", api="a?b", body="{{inputs}}")
