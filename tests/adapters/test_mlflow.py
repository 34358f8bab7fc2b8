from __future__ import annotations

import json

import numpy as np
import pytest

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.errors import AnswerError, RemoteError
from tests.adapters.helpers import opened, refuses, scores
from tests.adapters.protocols import LABELS, TASK
from tests.builders import make_bundle
from tests.servers import ModelServer, always

INPUTS = TASK.domain.sample(2, np.random.default_rng(0))
ROW = [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("url", ["http://host:5000", "http://host:5000/", "http://host:5000/invocations"])
def test_the_address_may_be_the_base_or_the_whole(url):
    """Databricks gives whole addresses."""
    assert opened("mlflow", url=url).encode(INPUTS).url == "http://host:5000/invocations"


def test_a_data_frame_has_numbered_columns_unless_they_are_named():
    """dataframe_split carries columns and flat rows."""
    frame = json.loads(opened("mlflow", send="dataframe_split", encoding="flat").encode(INPUTS).content)
    assert frame["dataframe_split"]["columns"] == list(range(75))
    assert np.array_equal(np.array(frame["dataframe_split"]["data"], np.float32), INPUTS.reshape(2, -1))


def test_records_of_columns_are_read_by_label():
    """A model that returns a data frame answers with one record a row."""
    records = [dict(zip(LABELS, ROW, strict=True)), dict(zip(LABELS, ROW[::-1], strict=True))]
    assert scores(opened("mlflow"), {"predictions": records}, 2) == [tuple(ROW), tuple(ROW[::-1])]


def test_bare_labels_are_read_where_they_are_declared():
    """scores = "label": 1 for the class named, by name or by number, and nothing of the others."""
    adapter = opened("mlflow", scores="label", label_map={"3": LABELS[3]})
    assert scores(adapter, {"predictions": [3, LABELS[0]]}, 2) == [(None, None, None, 1.0), (1.0, None, None, None)]
    for other in ({"predictions": [True]}, {"predictions": ["cat"]}):
        with pytest.raises(AnswerError):
            scores(adapter, other)
    with pytest.raises(AnswerError):
        scores(opened("mlflow"), {"predictions": [3]})


def test_a_stack_trace_is_never_repeated(tmp_path):
    """Of MLflow's error only the message's first line reaches message and transcript."""
    said = {"error_code": "BAD_REQUEST", "message": "Bad shape\nFile secret.py", "stack_trace": "Traceback: /srv/x.py"}
    with ModelServer(None, fault=always(400, json.dumps(said).encode())) as server:
        endpoint = Endpoint.open("a", {"adapter": "mlflow", "url": server.url}, TASK)
        with pytest.raises(RemoteError, match="HTTP 400, 'Bad shape'") as caught:
            audit_endpoint(make_bundle(task=TASK), endpoint, tmp_path)
    seen = str(caught.value) + (tmp_path / "transcript.jsonl").read_text()
    assert "Traceback" not in seen
    assert "secret.py" not in seen


def test_a_wrong_option_is_named():
    """Options that do not go together are refused when the adapter is opened."""
    refuses("mlflow", "encoding: a data frame has flat rows", send="dataframe_split")
    refuses("mlflow", "columns: they belong", columns=["a"])
    refuses("mlflow", "columns: 1 names for inputs of 75", send="dataframe_split", encoding="flat", columns=["a"])
    refuses("mlflow", "input_name: it belongs", send="instances", input_name="x")
