from __future__ import annotations

import pytest

from metav_audit.adapter import Outcome, Response
from metav_audit.audit.wire.identity import explain
from metav_audit.errors import AnswerError
from tests.adapters.helpers import opened, outcome, scores

ADAPTER = opened("azure-ml", answer="result")
ROW = [0.1, 0.2, 0.3, 0.4]


def test_json_within_a_json_text_is_read():
    """score.py often returns json.dumps(...), which the server writes as a text."""
    assert scores(ADAPTER, {"result": [ROW]}) == scores(ADAPTER, '{"result": [[0.1, 0.2, 0.3, 0.4]]}') == [tuple(ROW)]


@pytest.mark.parametrize("junk", ["", "text", '"{}"'])
def test_a_text_that_holds_no_answer_is_refused(junk):
    """One layer is unwrapped, and no more."""
    with pytest.raises(AnswerError):
        scores(ADAPTER, junk)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [("429", Outcome.THROTTLED), ("503", Outcome.TRANSIENT), ("500", Outcome.FATAL), ("", Outcome.FATAL)],
)
def test_a_424_is_judged_by_the_model_s_own_status(inner, expected):
    """What score.py raised is raised again; a busy model server may be asked again."""
    assert outcome(ADAPTER, 424, {}, ms_azureml_model_error_statuscode=inner) is expected
    assert outcome(ADAPTER, 424) is Outcome.FATAL


def test_the_model_s_reason_stands_in_the_message():
    """Azure says why in a header, where the body says nothing."""
    response = Response(424, {"ms-azureml-model-error-reason": "model not found"}, b"")
    assert explain(response) == "HTTP 424, 'model not found'"
