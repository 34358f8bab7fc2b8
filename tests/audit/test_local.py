from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.adapters.protocols import TASK
from tests.audit.helpers import Pauses, records
from tests.builders import linear_model, make_bundle

BUNDLE = make_bundle(queries=8, task=TASK)
HERE = "python:tests.audit.test_local"
TARGET = linear_model(TASK, 0)
busy, most = [0], [0]


def counted(inputs):
    busy[0] += 1
    most[0] = max(most[0], busy[0])
    time.sleep(0.005)
    busy[0] -= 1
    return TARGET(inputs)


def raising(inputs):
    raise ValueError("no such input")


def slow(inputs):
    threading.Event().wait(0.3)
    return TARGET(inputs)


def narrow(inputs):
    return TARGET(inputs)[:, :3]


def endpoint(function, **more):
    fields = {"adapter": "python-callable", "url": f"{HERE}:{function}", **more}
    return Endpoint.open("suspect", fields, TASK)


def test_a_function_is_asked_like_any_endpoint(tmp_path):
    """Counted, journaled, resumed; one call at a time whatever the concurrency."""
    asked = endpoint("counted", batch=2, limits={"concurrency": 4})
    transcript = audit_endpoint(BUNDLE, asked, tmp_path)
    assert decide(BUNDLE, read(BUNDLE, transcript)).outcome is VerdictOutcome.MATCH
    assert [record["kind"] for record in records(tmp_path)].count("sent") == transcript.requests >= 4
    assert most == [1]
    assert audit_endpoint(BUNDLE, asked, tmp_path) == transcript


class OwnError(BaseException):
    """What no ``except Exception`` catches."""


def rebelling(inputs):
    raise OwnError("own")


def interrupting(inputs):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("function", "named"), [("rebelling", "OwnError"), ("interrupting", "KeyboardInterrupt")])
def test_whatever_a_function_raises_is_its_own_endpoint_s_error(tmp_path, function, named):
    """No end of the run for the others, and nobody was interrupted."""
    with pytest.raises(RemoteError, match=named):
        audit_endpoint(BUNDLE, endpoint(function), tmp_path, sleep=Pauses())


def test_a_function_that_raises_is_not_called_again(tmp_path):
    """What it raised is said in one line, after one call."""
    with pytest.raises(RemoteError, match="ValueError: no such input"):
        audit_endpoint(BUNDLE, endpoint("raising"), tmp_path, sleep=Pauses())
    assert [record["kind"] for record in records(tmp_path)].count("sent") == 1


def test_scores_that_do_not_fit_are_refused(tmp_path):
    """A function is held to the task like any endpoint."""
    with pytest.raises(AnswerError, match="3 scores, the task has 4 classes"):
        audit_endpoint(BUNDLE, endpoint("narrow"), tmp_path)


def test_a_function_that_takes_too_long_is_a_timeout(tmp_path):
    """The limit of one request holds for a call too."""
    with pytest.raises(RemoteError, match="took longer"):
        audit_endpoint(BUNDLE, endpoint("slow", limits={"total_s": 0.05, "attempts": 1}), tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("python:no.such.module:f", "ModuleNotFoundError"),
        (f"{HERE}:no_such_function", "AttributeError"),
        (f"{HERE}:most", "is no function"),
    ],
)
def test_a_function_that_is_not_there_is_found_before_anything_is_asked(tmp_path, url, said):
    """The message names module and function; no folder is begun."""
    with pytest.raises(ConfigurationError, match=said):
        audit_endpoint(BUNDLE, endpoint("counted", url=url), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["python:os", "python::f", "http://host", "python:a:b:c", "python:a b:c"])
def test_an_address_that_names_no_function_is_refused(url):
    """It is python:module:function and nothing else."""
    with pytest.raises(ConfigurationError, match="url"):
        endpoint("counted", url=url)


def test_no_http_adapter_takes_such_an_address():
    """python: is for python-callable alone."""
    with pytest.raises(ConfigurationError, match="url"):
        Endpoint.open("a", {"adapter": "open-inference-v2", "url": "python:os:getcwd", "model": "m"}, TASK)


def test_inputs_arrive_as_float32_of_the_task_s_shape(tmp_path):
    """What the function sees are the fingerprint's queries, bit for bit, among others."""
    seen.clear()
    audit_endpoint(BUNDLE, endpoint("watched", batch=8), tmp_path)
    assert {inputs.dtype for inputs in seen} == {np.dtype(np.float32)}
    shown = {row.tobytes() for inputs in seen for row in inputs}
    assert {row.tobytes() for row in BUNDLE.inputs} <= shown


seen: list[np.ndarray] = []


def watched(inputs):
    seen.append(inputs)
    return TARGET(inputs)
