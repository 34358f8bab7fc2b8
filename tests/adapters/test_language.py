"""The adapter openai-logprobs where the task is texts: what is sent, and what is read of continuations."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.adapter import Flow, Outcome, Request, Response, find_adapter
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task.texts import Passage, Shows, passages, served_task
from tests.language import completions, owner

PASSAGE = Passage("ba be", " bi", (" bo bu", " da", ""))
BASE = {"url": "https://api.test/v1", "model": "m"}


def opened(shows=Shows.LOG_PROBABILITIES, **fields):
    return find_adapter("openai-logprobs").open(served_task(shows, 3), {**BASE, **fields})


def asked(adapter, passage=PASSAGE):
    """The first request."""
    step = Flow(adapter, passages([passage])).advance(None)
    assert isinstance(step, Request)
    return step.url, json.loads(step.content)


def scores(adapter, *bodies, passage=PASSAGE):
    flow = Flow(adapter, passages([passage]))
    flow.advance(None)
    for body in bodies:
        step = flow.advance(Response(200, {}, json.dumps(body).encode()))
    return step[0].scores


def test_continuations_are_asked_with_echo_in_one_request():
    """Each as prompt, what was said, and the continuation."""
    url, body = asked(opened())
    assert url == "https://api.test/v1/completions"
    assert body["prompt"] == ["ba be bi bo bu", "ba be bi da", "ba be bi"]
    assert (body["echo"], body["max_tokens"]) == (True, 1)


def test_the_scores_are_the_models_own_whether_together_or_apart():
    """The sum over the continuation's tokens, and of nothing before or after it."""
    model = owner()
    due = [math.fsum(model.tokens("ba be bi", text)) for text in PASSAGE.continuations]
    together, apart = opened(), opened(together=False)
    assert scores(together, completions(model, asked(together)[1])) == pytest.approx(due)
    bodies = [completions(model, asked(apart)[1] | {"prompt": "ba be bi" + text}) for text in PASSAGE.continuations]
    assert scores(apart, *bodies) == pytest.approx(due)
    assert (together.steps, apart.steps) == (1, 3)


def test_the_form_puts_prompt_and_answer_together():
    """As the suspect's own template does."""
    _, body = asked(opened(form="Q: {{prompt}}\nA:{{answer}}"))
    assert body["prompt"][1] == "Q: ba be\nA: bi da"


def test_choices_are_taken_by_their_index():
    """Servers may answer a list in another order."""
    body = completions(owner(), asked(opened())[1])
    assert scores(opened(), {"choices": body["choices"][::-1]}) == scores(opened(), body)


def test_without_offsets_the_tokens_lengths_tell_where_they_begin():
    """Some servers leave text_offset out."""
    body = completions(owner(), asked(opened())[1])
    due = scores(opened(), body)
    for choice in body["choices"]:
        del choice["logprobs"]["text_offset"]
    assert scores(opened(), body) == due


def top(**chances):
    return {"choices": [{"logprobs": {"top_logprobs": [{f" {name}": value for name, value in chances.items()}]}}]}


def test_a_token_that_is_not_listed_is_as_likely_as_the_least_that_is():
    """Alike for what was served and for alternatives; the end has tokens of its own."""
    passage = Passage("ba", "", (" bo", " lu", ""))
    assert scores(opened(Shows.TOKENS), top(bo=-1.0, da=-3.0), passage=passage) == (-1.0, -3.0, -3.0)
    ended = {"choices": [{"logprobs": {"top_logprobs": [{"</s>": -0.5, "da": -3.0}]}}]}
    assert scores(opened(Shows.TOKENS), ended, passage=passage) == (-3.0, -3.0, -0.5)


def test_a_longer_token_counts_as_the_longest_listed_one_that_it_begins_with():
    """Another tokenizer cuts words elsewhere."""
    passage = Passage("ba", "", (" bottle", " lu", " bo"))
    assert scores(opened(Shows.TOKENS), top(bo=-2.0, bott=-1.0, x=-9.0), passage=passage) == (-1.0, -9.0, -2.0)


def test_a_chat_is_asked_with_what_was_said_as_its_own_words():
    """And one that is to tell given texts' log-probabilities is refused: no chat does."""
    url, body = asked(opened(Shows.TOKENS, api="chat"))
    assert url.endswith("/chat/completions")
    assert [each["role"] for each in body["messages"]] == ["user", "assistant"]
    with pytest.raises(ConfigurationError, match="a chat tells no log-probabilities of given texts"):
        opened(api="chat")


def test_texts_are_compared():
    """What it says itself is more like the continuation that it shares words with; samples are averaged."""
    passage = Passage("ba", "", (" one two three", " four five six", " seven"))
    body = {"choices": [{"text": " one two three"}, {"text": " four"}]}
    found = scores(opened(Shows.TEXT, samples=2), body, passage=passage)
    assert found[0] > found[1] > found[2] == 0.0


@pytest.mark.parametrize("body", [
    {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"logprobs": None}] * 3}, {"choices": [{"logprobs": []}] * 3},
    {"choices": [{"logprobs": {"tokens": ["ba"], "token_logprobs": [None]}}] * 3},
    {"choices": [{"logprobs": {"tokens": ["ba be bi bo bu"], "token_logprobs": ["x"]}}] * 3},
    {"choices": [{"logprobs": {"tokens": [3], "token_logprobs": [-1]}}] * 3},
    {"choices": [{"logprobs": {"tokens": ["ba", " be bi bo bu"], "token_logprobs": [None, None]}}] * 3},
    {"choices": [{"logprobs": {"tokens": ["ba be bi bo bu"], "token_logprobs": [-1.0]}}]},
])  # fmt: skip
def test_a_response_without_the_texts_log_probabilities_is_refused(body):
    """A server that knows no echo is told."""
    with pytest.raises(AnswerError):
        scores(opened(), body)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), lambda each: st.lists(
    each, max_size=3) | st.dictionaries(st.sampled_from(["choices", "logprobs", "tokens", "token_logprobs", "text",
    "top_logprobs", "content", "message", "index", "token"]), each, max_size=4)),
    st.sampled_from(Shows), st.sampled_from(["completions", "chat"]))  # fmt: skip
def test_whatever_comes_is_read_or_refused(body, shows, api):
    """By its own error."""
    if shows is Shows.LOG_PROBABILITIES:
        api = "completions"
    try:
        assert len(scores(opened(shows, api=api), {"choices": [body]})) == 3
    except AnswerError as error:
        assert "report it" not in str(error)  # noqa: PT017


def test_other_adapters_take_no_texts():
    """They say which one does."""
    with pytest.raises(ConfigurationError, match="openai-logprobs and json-template do"):
        find_adapter("tensorflow-serving-v1").open(served_task(Shows.TEXT, 3), {"url": "https://a.test"})


def test_the_form_and_statuses_are_checked():
    """The answer comes last; what is no success is classified as for any API."""
    with pytest.raises(ConfigurationError, match="form"):
        opened(form="{{answer}} {{prompt}}")
    assert opened().classify(Response(429, {}, b"")) is Outcome.THROTTLED
