from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.adapter import Outcome, Response
from metav_audit.audit import check_adapter, find_adapter
from metav_audit.errors import AnswerError
from metav_audit.responses import check_answer
from tests.builders import make_task
from tests.servers import FIELDS, PROTOCOLS

TASK = make_task(channels=3)
URL = {"url": "http://host:1"}


def opened(name, **more):
    return find_adapter(name).open(TASK, {**URL, **FIELDS[name], **more})


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", FIELDS)
def test_the_built_in_adapters_fulfil_their_contract(name, batch):
    """The contract check that third parties use passes for each built-in adapter."""

    def respond(request, scores):
        answer = PROTOCOLS[name](lambda inputs: scores, json.loads(request.content))
        return Response(200, {}, json.dumps(answer).encode())

    check_adapter(find_adapter(name), TASK, {**URL, **FIELDS[name], "batch": batch}, respond=respond)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(min_value=10**308) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["outputs", "data", "shape", "name", "predictions", "result", "rows", "label", "score", "class 0", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
SHAPED = st.one_of(
    JSON,
    st.builds(lambda data, shape: {"outputs": [{"data": data, "shape": shape}]}, JSON, JSON),
    st.builds(lambda rows: {"predictions": rows}, JSON),
    st.builds(lambda rows: {"predictions": [rows, rows]}, JSON),
    st.builds(lambda rows: {"result": {"rows": rows}}, JSON),
    st.builds(lambda rows: {"result": {"rows": [rows, rows]}}, JSON),
)
BODIES = st.one_of(SHAPED.map(lambda body: json.dumps(body).encode()), st.binary(max_size=60))


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), BODIES, st.integers(1, 3))
def test_decode_of_anything_gives_answers_or_an_answer_error(name, body, count):
    """Whatever JSON, or no JSON, comes back: as many answers as inputs, or AnswerError."""
    adapter = opened(name, batch=3)
    with contextlib.suppress(AnswerError):
        answers = adapter.decode(Response(200, {}, body), count)
        assert len(answers) == count
        for answer in answers:
            check_answer(answer, TASK.output, adapter.options.scores)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.integers(100, 999), st.binary(max_size=20))
def test_classify_knows_every_status(name, status, body):
    """Every status has an outcome, and OK is 2xx alone."""
    outcome = opened(name).classify(Response(status, {}, body))
    assert isinstance(outcome, Outcome)
    assert (outcome is Outcome.OK) == (200 <= status < 300)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_every_input_arrives_exactly_as_it_was(name, seed, count):
    """What a server reads is the float32 input, bit for bit."""
    inputs = TASK.domain.sample(count, np.random.default_rng(seed))
    arrived = []

    def model(values):
        arrived.append(np.asarray(values, np.float32))
        return np.full((len(values), 4), 0.25)

    PROTOCOLS[name](model, json.loads(opened(name, batch=3).encode(inputs).content))
    assert np.array_equal(arrived[0], inputs)
