from __future__ import annotations

import pytest

from metav_audit.adapter import Outcome
from metav_audit.errors import AnswerError
from tests.adapters.helpers import opened, outcome, refuses, scores
from tests.adapters.protocols import LABELS

ADAPTER = opened("torchserve", model="m")
ROW = [0.1, 0.2, 0.3, 0.4]
NAMED = dict(zip(LABELS, ROW, strict=True))


@pytest.mark.parametrize("body", [ROW, [ROW], NAMED, [NAMED]])
def test_a_handler_s_list_or_labels_are_read_bare_or_in_a_list(body):
    """Handlers return one result, or a list of one."""
    assert scores(ADAPTER, body) == [tuple(ROW)]


def test_its_image_classifier_shows_five_classes_and_the_rest_is_missing():
    """A class that is not among the top five is None."""
    assert scores(ADAPTER, {LABELS[2]: 0.9, LABELS[0]: 0.05}) == [(0.05, None, 0.9, None)]


def test_two_answers_for_one_input_are_refused():
    """A list of two results is no answer to one input."""
    with pytest.raises(AnswerError, match="2 answers came back"):
        scores(ADAPTER, [ROW, ROW])


def test_a_503_over_the_input_is_told_from_one_over_the_load():
    """The handler's failure is not asked again; a server without a free worker is."""
    failed = {"code": 503, "type": "InternalServerException", "message": "Prediction failed"}
    died = {"code": 500, "type": "InternalServerException", "message": "Worker died."}
    busy = {"code": 503, "type": "ServiceUnavailableException", "message": 'Model "m" has no worker to serve'}
    assert outcome(ADAPTER, 503, failed) is Outcome.FATAL
    assert outcome(ADAPTER, 503, busy) is outcome(ADAPTER, 500, died) is outcome(ADAPTER, 503) is Outcome.TRANSIENT
    assert outcome(ADAPTER, 507) is Outcome.TRANSIENT
    assert outcome(ADAPTER, 404, {"code": 404, "type": "ModelNotFoundException"}) is Outcome.FATAL


def test_a_wrong_option_is_named():
    """One picture a request, and a form that is known."""
    refuses("torchserve", "batch: send = image takes one input", model="m", batch=2)
    refuses("torchserve", "send", model="m", send="jpeg")
