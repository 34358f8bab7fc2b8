"""The adapter json-template where the task is texts: any JSON API of a language model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.adapter import Flow, Outcome, Request, Response, Wait, find_adapter
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task.texts import Passage, Shows, likenesses, passages, served_task

PASSAGE = Passage("Say {{answer}} or {{sample}}", "", (" bo bu", " da", ""))
OWN = {"url": "https://api.test/ask", "body": {"q": {"text": "<{{prompt}}>", "seed": "{{sample}}"}}, "answer": "r.0.t"}
GIVEN = {"url": "https://api.test/rate", "body": {"q": "{{prompt}}", "a": ["{{answer}}"]}, "answer": "chance"}


def opened(shows=Shows.TEXT, **fields):
    return find_adapter("json-template").open(
        served_task(shows, 3), {**(OWN if shows is Shows.TEXT else GIVEN), **fields}
    )


def played(adapter, *bodies):
    """What was sent, and the scores that came of it."""
    flow = Flow(adapter, passages([PASSAGE]))
    sent, step = [], flow.advance(None)
    for body in bodies:
        assert isinstance(step, Request)
        sent.append(json.loads(step.content) if step.content else step.url)
        step = flow.advance(Response(200, {}, json.dumps(body).encode()))
        while isinstance(step, Wait):
            step = flow.advance(None)
    return sent, step[0].scores


def said(*texts):
    return [{"r": [{"t": text}]} for text in texts]


def test_a_prompt_is_asked_so_many_times_and_its_answers_are_compared():
    """Each by a request of its own, in which a prompt that names a slot stays as it is."""
    adapter = opened(samples=2)
    sent, scores = played(adapter, *said(" bo bu", " da"))
    assert sent == [{"q": {"text": "<Say {{answer}} or {{sample}}>", "seed": number}} for number in (0, 1)]
    both = [likenesses(text, PASSAGE.continuations) for text in (" bo bu", " da")]
    assert scores == pytest.approx([sum(each) / 2 for each in zip(*both, strict=True)])
    assert adapter.steps == 2


def test_an_api_may_give_several_answers_at_once():
    """A list of texts at the path; one that looks like JSON is a text, too."""
    texts = ['{"bo": 1}', " bo bu"]
    _, scores = played(opened(samples=1, answer="out[].t"), {"out": [{"t": text} for text in texts]})
    both = [likenesses(text, PASSAGE.continuations) for text in texts]
    assert scores == pytest.approx([sum(each) / 2 for each in zip(*both, strict=True)])
    _, scores = played(opened(samples=1), *said(texts[0]))
    assert scores == pytest.approx(both[0])


def test_an_api_that_rates_given_answers_is_asked_each():
    """Its numbers are log-probabilities; none is none."""
    sent, scores = played(opened(Shows.LOG_PROBABILITIES), *({"chance": number} for number in (-3, -4.5, None)))
    assert [each["a"] for each in sent] == [[text] for text in PASSAGE.continuations]
    assert scores == (-3, -4.5, None)


def test_a_job_that_is_submitted_is_polled():
    """For each answer anew; whatever is pending is no refusal."""
    adapter = opened(samples=1, poll={"ticket": "id", "url": "/jobs/{{ticket}}", "done": "r", "at_most": 3})
    sent, scores = played(adapter, {"id": 7}, {}, *said(" da"))
    assert sent[1:] == ["https://api.test/jobs/7"] * 2
    assert scores == pytest.approx(likenesses(" da", PASSAGE.continuations))
    assert adapter.steps == 4
    assert adapter.classify(Response(404, {}, b"")) is Outcome.OK
    assert opened().classify(Response(404, {}, b"")) is not Outcome.OK
    assert opened().classify(Response(529, {}, b"")) is Outcome.TRANSIENT


@pytest.mark.parametrize(
    ("shows", "fields", "told"),
    [
        (Shows.TEXT, {"body": {"q": "?"}}, 'put "{{prompt}}"'),
        (Shows.TEXT, {"body": GIVEN["body"]}, "one for text has none"),
        (Shows.LOG_PROBABILITIES, {"body": OWN["body"]}, "log-probabilities needs it"),
        (Shows.TOKENS, {}, "reads no next tokens"),
        (Shows.TEXT, {"samples": 0}, "samples"),
        (Shows.TEXT, {"poll": {"ticket": "id", "url": "https://b.test/{{ticket}}", "done": "r"}}, "poll.url"),
        (Shows.TEXT, {"encoding": "flat"}, "encoding: this key is unknown"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(shows, fields, told):
    """With its place."""
    with pytest.raises(ConfigurationError, match=told):
        opened(shows, **fields)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), lambda each: st.lists(
    each, max_size=3) | st.dictionaries(st.sampled_from(["r", "t", "chance", "id"]), each, max_size=3)),
    st.sampled_from([Shows.TEXT, Shows.LOG_PROBABILITIES]))  # fmt: skip
def test_whatever_comes_is_read_or_refused(body, shows):
    """By its own error."""
    adapter = opened(shows, **({"samples": 3} if shows is Shows.TEXT else {}))
    try:
        assert len(played(adapter, body, body, body)[1]) == 3
    except AnswerError as error:
        assert "report it" not in str(error)  # noqa: PT017
