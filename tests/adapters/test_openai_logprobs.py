from __future__ import annotations

import math

import pytest

from metav_audit.adapter import Outcome
from metav_audit.errors import AnswerError
from tests.adapters.helpers import opened, outcome, refuses, scores
from tests.adapters.protocols import LABELS, TOKENS

FIELDS = {"model": "m", "prompt": "Which?", "tokens": TOKENS}
ADAPTER = opened("openai-logprobs", **FIELDS)


def chat(*top, answered=None):
    pairs = [{"token": token, "logprob": logprob} for token, logprob in top]
    first = dict(zip(("token", "logprob"), answered or top[0], strict=True))
    return {"choices": [{"logprobs": {"content": [{**first, "top_logprobs": pairs}]}}]}


def test_classes_outside_the_top_are_missing_and_a_sentinel_counts_as_missing():
    """-9999.0 is what servers write for a token they do not tell."""
    assert scores(ADAPTER, chat(("c2", -0.1), ("c0", -3), ("no", -4), ("c1", -9999.0))) == [(-3.0, None, -0.1, None)]


def test_spaces_around_a_token_do_not_matter_and_the_chances_add():
    """A token and the same with a space before it both answer the class."""
    (answer,) = scores(ADAPTER, chat(("c1", math.log(0.5)), (" c1", math.log(0.25))))
    assert answer[1] == pytest.approx(math.log(0.75))


def test_a_log_probability_that_is_not_told_is_missing():
    """Null is what other servers write."""
    assert scores(ADAPTER, chat(("c2", -0.1), ("c0", None), ("c1", None))) == [(None, None, -0.1, None)]


@pytest.mark.parametrize("mark", [" ", "\u2581", "\u0120", "\n"])
def test_a_tokenizer_s_mark_for_a_space_does_not_matter(mark):
    """Whichever it is."""
    assert scores(ADAPTER, chat((f"{mark}c1", -0.5))) == [(None, -0.5, None, None)]


def test_what_came_is_told_where_no_token_is_a_class_s():
    """The prompt seems to ask for something else."""
    with pytest.raises(AnswerError, match="only these: 'The', 'I'; mend prompt"):
        scores(ADAPTER, chat(("The", -0.5), (" I", -1)))


def test_the_answered_token_counts_even_if_it_is_not_listed():
    """Some servers leave the answered token out of its own alternatives."""
    assert scores(ADAPTER, chat(("c0", -3.0), answered=("c3", -0.2))) == [(-3.0, None, None, -0.2)]


def test_a_label_s_own_text_is_its_token_unless_one_is_given():
    """Tokens are given only where the text is not the token."""
    assert scores(opened("openai-logprobs", model="m", prompt="?"), chat((LABELS[1], -0.5)))[0][1] == -0.5


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"logprobs": None}]},
        {"choices": []},
        {"choices": [{"logprobs": {"content": [{"token": "c0", "logprob": -1}]}}]},
        {"choices": [{"logprobs": {"content": [{"token": "c0", "logprob": -1, "top_logprobs": None}]}}]},
        chat(("c0", "high")),
        chat((3, -0.5)),
    ],
)
def test_an_answer_without_log_probabilities_is_refused(body):
    """A server that ignores the wish for logprobs is told."""
    with pytest.raises(AnswerError):
        scores(ADAPTER, body)


def test_a_quota_that_is_used_up_is_no_throttling():
    """Both come as 429; only one of them passes."""
    assert outcome(ADAPTER, 429, {"error": {"code": "insufficient_quota"}}) is Outcome.FATAL
    assert outcome(ADAPTER, 429, {"error": {"code": "rate_limit_exceeded"}}) is Outcome.THROTTLED


def test_a_wrong_option_is_named():
    """Tokens must tell classes apart; scores are log-probabilities; the input goes one way."""
    refuses("openai-logprobs", "tokens: the task has no label 'x'", model="m", prompt="?", tokens={"x": "y"})
    refuses("openai-logprobs", "two labels have one token", model="m", prompt="?", tokens={LABELS[0]: LABELS[1]})
    refuses("openai-logprobs", "scores", **FIELDS, scores="probability")
    refuses("openai-logprobs", "prompt", model="m", prompt="{{input}}?")
    refuses("openai-logprobs", "prompt", model="m", prompt="?", picture=False)
