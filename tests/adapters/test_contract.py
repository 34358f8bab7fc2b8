from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.adapter import Outcome, Request, Response, check_adapter, find_adapter, installed_adapters
from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.errors import AnswerError
from metav_audit.task import check_answer
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.adapters.protocols import CASES, TASK, Case, Model, ok
from tests.audit.helpers import Pauses
from tests.builders import linear_model, make_bundle
from tests.scale import at_scale
from tests.servers import ModelServer, Reply, Seen

CASE_NAMES = sorted(CASES)
TARGET = linear_model(TASK, 0)


def test_every_built_in_adapter_is_spoken_with():
    """No announced adapter is left out of the tests below."""
    built_in = {each.name for each in installed_adapters() if each.package == "metav-audit"}
    assert {case.adapter for case in CASES.values()} == built_in


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CASE_NAMES)
def test_the_built_in_adapters_fulfil_their_contract(name, batch):
    """The contract check that third parties use passes for each built-in adapter."""
    case = CASES[name]
    fields = case.table(batch=min(batch, case.most))
    check_adapter(
        find_adapter(case.adapter),
        TASK,
        fields,
        respond=lambda request, scores: case.speak(lambda inputs: scores, request),
    )


def played(case: Case, model: Model, path: str):
    """A fault that lets a ModelServer speak the case's protocol."""

    def answer(number: int, seen: Seen) -> Reply:
        headers = {
            "Content-Type": seen.headers.get("content-type"),
            "Inference-Header-Content-Length": seen.headers.get("inference-header-content-length"),
            "azureml-model-deployment": seen.headers.get("azureml-model-deployment"),
        }
        method = "POST" if seen.body else "GET"
        kept = {name: value for name, value in headers.items() if value is not None and method == "POST"}
        response = case.speak(model, Request("http://host" + seen.path, seen.body, method, kept))
        assert seen.path.startswith(path)
        return Reply(response.status, response.content, response.headers)

    return answer


@pytest.mark.parametrize("name", CASE_NAMES)
def test_the_target_itself_matches_over_every_protocol(tmp_path, name):
    """Each adapter carries the fingerprint through the client to a real server, and the verdict is a match."""
    case = CASES[name]
    logs = case.open().options.scores == "log_probability"
    model = (lambda inputs: np.log(TARGET(inputs))) if logs else TARGET
    bundle = make_bundle(queries=6, task=TASK)
    given_url = case.fields.get("url", "http://host:1")
    path = given_url.removeprefix("http://host:1")
    with ModelServer(None, fault=played(case, model, path)) as server:
        url = given_url.replace("http://host:1", server.url)
        endpoint = Endpoint.open("suspect", {"adapter": case.adapter, **case.table(), "url": url}, TASK)
        transcript = audit_endpoint(bundle, endpoint, tmp_path, sleep=Pauses())
    assert decide(bundle, read(bundle, transcript)).outcome is VerdictOutcome.MATCH
    assert transcript.requests >= -(-6 // case.most)
    assert len(server.log) == (0 if case.adapter == "python-callable" else transcript.requests)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(min_value=10**308) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["outputs", "data", "shape", "label", "score", "class 0", "x"]), inner)
    ),
    max_leaves=10,
)


EXTREMES = [10**400, -(10**400), 10**308, 1.7e308, -1.7e308, 5e-324, float("inf"), float("nan"), 2**63, -0.0]
"""Numbers at the edges of what JSON, floats and whole numbers hold."""


def places(body, path=()):
    """Every path into a JSON value."""
    yield path
    if isinstance(body, dict | list):
        for key in body if isinstance(body, dict) else range(len(body)):
            yield from places(body[key], (*path, key))


def put(body, path, junk):
    if not path:
        return junk
    changed = dict(body) if isinstance(body, dict) else list(body)
    changed[path[0]] = put(body[path[0]], path[1:], junk)
    return changed


def right_answer(case, count):
    """What the server answers rightly: headers, JSON, and the bytes after it."""
    inputs = TASK.domain.sample(count, np.random.default_rng(0))
    response = case.speak(lambda _: np.full((count, 4), 0.25), case.open().encode(inputs))
    length = int(response.headers.get("inference-header-content-length", len(response.content)))
    return response.headers, json.loads(response.content[:length]), response.content[length:]


@st.composite
def answers(draw):
    """A case, a count and an answer: right but for one place, all wrong, or no JSON at all."""
    case = CASES[draw(st.sampled_from(CASE_NAMES))]
    count = draw(st.integers(1, case.most))
    headers, body, rest = right_answer(case, count)
    path = draw(st.sampled_from(list(places(body))))
    content = json.dumps(put(body, path, draw(JSON))).encode()
    if headers:
        headers = {"inference-header-content-length": draw(st.sampled_from([str(len(content)), "7", "²", "-1", "9e9"]))}
    content = draw(st.sampled_from([content + rest, content, json.dumps(draw(JSON)).encode()]) | st.binary(max_size=60))
    return case, count, Response(200, headers, content)


@pytest.mark.scaled
@settings(max_examples=at_scale(30, 600), deadline=None)
@given(answers())
def test_decode_of_anything_gives_answers_or_an_answer_error(given_answer):
    """Whatever JSON, or no JSON, comes back: as many answers as inputs, or AnswerError."""
    case, count, response = given_answer
    adapter = case.open()
    with contextlib.suppress(AnswerError):
        read = adapter.decode(response, count)
        assert len(read) == count
        for answer in read:
            check_answer(answer, TASK.output, adapter.options.scores)


@pytest.mark.parametrize("extreme", EXTREMES, ids=str)
@pytest.mark.parametrize("name", CASE_NAMES)
def test_a_number_of_any_size_gives_answers_or_an_answer_error(name, extreme):
    """At each place of a right answer, in turn: as many answers as inputs, or AnswerError."""
    case = CASES[name]
    headers, body, rest = right_answer(case, 1)
    adapter = case.open()
    for path in places(body):
        response = Response(200, headers, json.dumps(put(body, path, extreme)).encode() + rest)
        with contextlib.suppress(AnswerError):
            for answer in adapter.decode(response, 1):
                check_answer(answer, TASK.output, adapter.options.scores)


@pytest.mark.scaled
@settings(max_examples=at_scale(40, 200), deadline=None)
@given(JSON, JSON, JSON)
def test_polling_of_anything_ends_in_answers_or_an_answer_error(submitted, first, then):
    """Whatever a submit-then-poll service says, the polls are bounded and no other error comes."""
    flow = CASES["json-template poll"].open().flow(TASK.domain.sample(1, np.random.default_rng(0)))
    flow.send(None)
    steps, bodies = 0, iter([submitted, first])
    with contextlib.suppress(AnswerError, StopIteration):
        step = flow.send(ok(next(bodies)))
        while steps < 1000:
            steps += 1
            step = flow.send(ok(next(bodies, then)) if isinstance(step, Request) else None)
    assert steps <= 2 * 30


@pytest.mark.scaled
@settings(max_examples=at_scale(60, 300), deadline=None)
@given(
    st.sampled_from(CASE_NAMES),
    st.integers(100, 999),
    st.binary(max_size=20) | st.dictionaries(st.text(max_size=3), JSON).map(lambda body: json.dumps(body).encode()),
    st.dictionaries(
        st.sampled_from(["x-amzn-errortype", "ms-azureml-model-error-statuscode"]), st.text(max_size=9), max_size=2
    ),
)
def test_classify_knows_every_status(name, status, body, headers):
    """Every status has an outcome, and OK is 2xx alone."""
    outcome = CASES[name].open().classify(Response(status, headers, body))
    assert isinstance(outcome, Outcome)
    assert (outcome is Outcome.OK) == (200 <= status < 300)


@pytest.mark.scaled
@settings(max_examples=at_scale(30, 100), deadline=None)
@given(st.sampled_from(CASE_NAMES), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_every_input_arrives_exactly_as_it_was(name, seed, count):
    """What a server reads is the float32 input, bit for bit, as numbers or as a picture."""
    case = CASES[name]
    inputs = TASK.domain.sample(min(count, case.most), np.random.default_rng(seed))
    arrived = []

    def model(values):
        arrived.append(np.asarray(values, np.float32))
        return np.full((len(values), 4), 0.25)

    case.speak(model, case.open().encode(inputs))
    assert np.array_equal(arrived[0], inputs)
