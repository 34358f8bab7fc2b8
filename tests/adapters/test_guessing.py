"""Guessing is pure and bounded: whatever an API says of itself, refuses with or answers, it ends soon."""

from __future__ import annotations

import json
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metav_audit_adapters.json_template import JsonTemplate
from metav_audit_adapters.open_inference_v2 import OpenInferenceV2
from metav_audit_adapters.tensorflow_serving_v1 import TensorFlowServingV1

from metav_audit.adapter import Hints, Refusal, Request, Response
from metav_audit.errors import AnswerError
from tests.builders import make_task

TASK = make_task(channels=3)
URL = "http://host/v2/models/m/infer"
ADAPTERS = (JsonTemplate, OpenInferenceV2, TensorFlowServingV1)
WORDS = st.sampled_from(
    ["paths", "/v2/models/m/infer", "post", "get", "requestBody", "content", "application/json", "schema",
     "$ref", "type", "required", "properties", "array", "items", "object", "string", "inputs", "shape", "name",
     "datatype", "detail", "loc", "body", "id", "status", "url", "#/paths", "anyOf", "enum", "default", "label",
     "score", "a.b", ""]
)  # fmt: skip
JSON = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=30,
)
OPENED = JsonTemplate.open(TASK, {"url": URL, "body": {"x": "{{input}}"}})


@settings(deadline=None, max_examples=50)
@given(JSON, JSON | st.text())
def test_any_description_and_any_refusal_give_guesses_that_open(document, refusal):
    """Each guess is one that its adapter accepts, and goes to the address or its host."""
    text = refusal if isinstance(refusal, str) else json.dumps(refusal)
    hints = Hints({URL: document}, (Refusal({"body": {"x": "{{input}}"}}, text),))
    for adapter in ADAPTERS:
        for guess in islice(adapter.guesses(TASK, URL, hints), 60):
            opened = adapter.open(TASK, guess.options)
            assert opened.options.url.startswith("http://host/") or opened.options.url == "http://host"


@settings(deadline=None, max_examples=50)
@given(JSON)
def test_any_response_has_places_that_open(body):
    """Wherever an answer may lie, the options that say so are accepted; an answer is read or refused."""
    response = Response(200, {}, json.dumps(body).encode())
    for place in OPENED.places(response, 1):
        opened = JsonTemplate.open(TASK, {"url": URL, "body": {"x": "{{input}}"}, **place.options})
        try:
            opened.decode(response, 1)
        except AnswerError:
            continue


@settings(deadline=None, max_examples=50)
@given(JSON, JSON)
def test_any_job_is_followed_to_an_end(submitted, polled):
    """Polls are requests by GET; sooner or later it gives up, or has found how."""
    looking = OPENED.follow(Response(202, {}, json.dumps(submitted).encode()), Hints())
    response, polls = None, 0
    for _ in range(500):
        try:
            step = looking.send(response)
        except StopIteration as end:
            found = end.value
            break
        polls += isinstance(step, Request)
        response = Response(200, {}, json.dumps(polled).encode()) if isinstance(step, Request) else None
    assert polls <= 120
    assert found is None or "poll" in found


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/components/schemas/A"},
        {"type": "object", "required": [f"f{at}" for at in range(200)],
         "properties": {f"f{at}": {"$ref": "#/components/schemas/A"} for at in range(200)}},
        {"type": "array", "items": {"$ref": "#/components/schemas/A"}},
    ],
)  # fmt: skip
def test_a_description_that_leads_in_circles_ends_soon(schema):
    """References to itself, and many of them, come to an end, and no guess grows by them."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}
    paths = {"/v2/models/m/infer": {"post": {"requestBody": {"content": content}}}}
    hints = Hints({URL: {"paths": paths, "components": {"schemas": {"A": schema}}}})
    assert all(len(str(guess)) < 10_000 for guess in islice(JsonTemplate.guesses(TASK, URL, hints), 400))


@pytest.mark.timeout(60)
def test_a_large_response_is_looked_through():
    """A megabyte of places and labels is bounded."""
    many = {f"k{at}": [{"label": f"l{at}-{each}", "score": 0.1, "more": 3} for each in range(10)] for at in range(1500)}
    assert len(list(OPENED.places(Response(200, {}, json.dumps(many).encode()), 1))) <= 60
