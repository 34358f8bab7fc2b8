from __future__ import annotations

import ctypes
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.audit.wire.callee import read_frame
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.adapters.protocols import TASK
from tests.audit.helpers import Pauses, records
from tests.builders import linear_model, make_bundle

BUNDLE = make_bundle(queries=8, task=TASK)
HERE = "python:tests.audit.test_local"
TARGET = linear_model(TASK, 0)
no_function = 3
busy = [0]


def counted(inputs):
    busy[0] += 1
    time.sleep(0.005)
    assert busy[0] == 1
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
        (f"{HERE}:no_function", "is no function"),
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


def test_inputs_arrive_as_float32_of_the_task_s_shape(tmp_path, monkeypatch):
    """What the function sees are the fingerprint's queries, bit for bit, among others."""
    monkeypatch.setenv("SEEN_BY_THE_FUNCTION", str(tmp_path / "seen"))
    audit_endpoint(BUNDLE, endpoint("watched", batch=8), tmp_path / "audit")
    shown = np.fromfile(tmp_path / "seen", np.float32).reshape(-1, *TASK.domain.shape)
    assert {row.tobytes() for row in BUNDLE.inputs} <= {row.tobytes() for row in shown}


def watched(inputs):
    assert inputs.dtype == np.float32
    with Path(os.environ["SEEN_BY_THE_FUNCTION"]).open("ab") as seen:
        seen.write(inputs.tobytes())
    return TARGET(inputs)


def printing(inputs):
    print("from the function")
    os.write(1, b"from its descriptor\n")
    subprocess.run(["/bin/echo", "from its child"], check=True)
    return TARGET(inputs)


def test_what_a_function_prints_goes_to_stderr(tmp_path, capfd):
    """By print, by descriptor or by a program that it starts: stdout has the verdicts alone."""
    audit_endpoint(BUNDLE, endpoint("printing", batch=8), tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert {"from the function", "from its descriptor", "from its child"} <= {*err.splitlines()}


def test_a_function_reads_nothing_of_this_program_s_input(tmp_path):
    """Its standard input is empty."""
    audit_endpoint(BUNDLE, endpoint("reading", batch=8), tmp_path)


def reading(inputs):
    assert sys.stdin.read() == ""
    return TARGET(inputs)


def exiting(inputs):
    os._exit(1)


def crashing(inputs):
    ctypes.string_at(0)


def swelling(inputs):
    raise MemoryError


def leaving(inputs):
    sys.exit(0)


def endless(inputs):
    while True:
        pass


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("exiting", "ended with exit status 1 during the call"),
        ("crashing", "died of SIGSEGV during the call"),
        ("swelling", "MemoryError"),
        ("leaving", "SystemExit: 0"),
    ],
)
def test_a_function_that_ends_its_process_ends_its_endpoint_alone(tmp_path, function, said):
    """One line says how, after one call."""
    with pytest.raises(RemoteError, match=said):
        audit_endpoint(BUNDLE, endpoint(function), tmp_path, sleep=Pauses())
    assert [record["kind"] for record in records(tmp_path)].count("sent") == 1


def test_an_endless_function_is_ended(tmp_path):
    """The silence that a server is granted is a function's, too, and its process is gone."""
    limits = {"read_timeout_s": 0.2, "attempts": 1}
    with pytest.raises(RemoteError, match="took longer"):
        audit_endpoint(BUNDLE, endpoint("endless", limits=limits), tmp_path)


def test_a_process_that_ended_is_started_again_for_the_next_input(tmp_path, monkeypatch):
    """What one input does to it is that input's failure, and no other's."""
    monkeypatch.setenv("SEEN_BY_THE_FUNCTION", str(tmp_path / "died"))
    transcript = audit_endpoint(BUNDLE, endpoint("mortal"), tmp_path / "audit", sleep=Pauses())
    assert sum(each.answer is None for each in transcript.exchanges) == 1


def mortal(inputs):
    calls = Path(os.environ["SEEN_BY_THE_FUNCTION"])
    with calls.open("ab") as file:
        file.write(b".")
    if calls.stat().st_size == 3:
        os._exit(3)
    return TARGET(inputs)


def test_a_result_beyond_the_limit_is_refused(tmp_path):
    """Its size is known before it is read."""
    with pytest.raises(RemoteError, match="larger than 1024 bytes"):
        audit_endpoint(BUNDLE, endpoint("wide", limits={"max_response_bytes": 1024}), tmp_path)


def wide(inputs):
    return np.zeros((1, 1000))


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("import os; os._exit(1)", "ended with exit status 1 while its module was imported"),
        ("import os; os._exit(0)", "ended with exit status 0 while its module was imported"),
        ("import ctypes; ctypes.string_at(0)", "died of SIGSEGV while its module was imported"),
        ("import sys; sys.exit(1)", "importing rude_module would end Python"),
    ],
)
def test_a_module_that_ends_its_process_is_said(tmp_path, monkeypatch, ends, said):
    """No audit is begun."""
    (tmp_path / "rude_module.py").write_text(ends)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RemoteError, match=said):
        audit_endpoint(BUNDLE, endpoint("counted", url="python:rude_module:f"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_frame_that_is_none_is_refused():
    """Whatever a function writes to its pipe is measured before it is read."""
    for junk in (b"\7" + bytes(8), b"\0" + b"\xff" * 8):
        with pytest.raises(ValueError, match="a frame"):
            read_frame(io.BytesIO(junk), 100)
    assert read_frame(io.BytesIO(b"\0" + bytes(7) + b"\5abc"), 100) is None
