from __future__ import annotations

import json

import numpy as np
import pytest

from metav_audit.adapter import Outcome
from metav_audit.errors import AnswerError
from tests.adapters.helpers import opened, outcome, refuses, scores
from tests.adapters.protocols import LABELS, TASK

ADAPTER = opened("hugging-face", label_map={"LABEL_0": LABELS[0]})
PAIRS = [{"label": LABELS[2], "score": 0.9}, {"label": "LABEL_0", "score": 0.05}]


def test_as_many_labels_are_asked_for_as_the_task_has():
    """The default of five would hide the rest; further parameters go along."""
    adapter = opened("hugging-face", parameters={"function_to_apply": "softmax"})
    body = json.loads(adapter.encode(TASK.domain.sample(1, np.random.default_rng(0))).content)
    assert body["parameters"] == {"top_k": 4, "function_to_apply": "softmax"}


@pytest.mark.parametrize("body", [PAIRS, [PAIRS]])
def test_labelled_scores_are_read_nested_or_not(body):
    """Some servers nest the list once more; labels are mapped, what is not shown is missing."""
    assert scores(ADAPTER, body) == [(0.05, None, 0.9, None)]


@pytest.mark.parametrize("body", [[PAIRS, PAIRS], [[PAIRS]], {"error": "x"}, [{"label": "cat", "score": 1}]])
def test_anything_else_is_no_answer(body):
    """Several answers, deeper nests, errors within a 200 and foreign labels are AnswerErrors."""
    with pytest.raises(AnswerError):
        scores(ADAPTER, body)


def test_a_model_that_is_loading_is_asked_again():
    """503 may pass; its estimated_time is read by the client."""
    assert outcome(ADAPTER, 503, {"error": "loading", "estimated_time": 20}) is Outcome.TRANSIENT


def test_a_wrong_option_is_named():
    """One picture a request."""
    refuses("hugging-face", "batch", batch=2)
