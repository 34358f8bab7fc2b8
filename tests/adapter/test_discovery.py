from __future__ import annotations

import json
import socket
from importlib.metadata import EntryPoint

import pytest

from metav_audit.adapter import (
    Adapter,
    AdapterContractError,
    AdapterOptions,
    Outcome,
    Request,
    Response,
    Wait,
    check_adapter,
    discovery,
    find_adapter,
    installed_adapters,
    read_json,
    read_rows,
)
from metav_audit.errors import ConfigurationError
from tests.builders import make_task

TASK = make_task()
URL = {"url": "http://host"}


class Plain(Adapter):
    """The smallest adapter that fulfils the contract."""

    name, summary = "plain", "rows in, rows out"

    def encode(self, inputs):
        return Request(self.options.url, json.dumps(inputs.tolist()).encode())

    def decode(self, response, count):
        return read_rows(read_json(response), count)


class Polling(Plain):
    def flow(self, inputs):
        yield self.encode(inputs)
        yield Wait(1)
        return self.decode((yield Request(self.options.url, b"", "GET")), len(inputs))


def respond(request, scores):
    return Response(200, {}, json.dumps(scores.tolist()).encode())


@pytest.mark.parametrize("kind", [Plain, Polling])
@pytest.mark.parametrize("scores", ["probability", "percent", "logit", "log_probability"])
def test_an_adapter_that_fulfils_the_contract_passes(kind, scores):
    """One line checks an adapter, as a class or as an instance."""
    check_adapter(kind, TASK, {**URL, "batch": 4, "scores": scores}, respond=respond)
    check_adapter(kind(TASK, AdapterOptions(url="http://host")), respond=respond)


def random_encode(self, inputs):
    import os

    return Request("http://host", os.urandom(8))


def connecting_encode(self, inputs):
    socket.create_connection(("127.0.0.1", 9))


def reversed_decode(self, response, count):
    return Plain.decode(self, response, count)[::-1]


def zero_filling_decode(self, response, count):
    try:
        return Plain.decode(self, response, count)
    except Exception:
        return read_rows([[0.25] * 4] * count, count)


BREACHES = {
    "not deterministic": {"encode": random_encode},
    "does no I/O": {"encode": connecting_encode},
    "not the scores that were sent": {"decode": reversed_decode},
    "decode accepted": {"decode": zero_filling_decode},
    "not AnswerError": {"decode": lambda self, response, count: read_rows(json.loads(response.content), count)},
    "no Outcome": {"classify": lambda self, response: "ok"},
    "HTTP 401 is not auth": {"classify": lambda self, response: Outcome.OK},
    "neither a Request nor a Wait": {"flow": lambda self, inputs: (yield "text")},
    "does not return a Request": {"encode": lambda self, inputs: b"bytes"},
    "it has no summary": {"summary": None},
}


@pytest.mark.parametrize("said", BREACHES)
def test_a_breach_of_the_contract_is_listed(said):
    """Each way of breaking the contract is found and said."""
    broken = type("Broken", (Plain,), {"name": "broken", **BREACHES[said]})
    with pytest.raises(AdapterContractError) as caught:
        check_adapter(broken, TASK, {**URL, "batch": 4}, respond=respond)
    assert any(said in failure for failure in caught.value.failures), caught.value.failures
    assert isinstance(caught.value, AssertionError)


def test_sockets_work_again_after_a_check():
    """The block on sockets ends with the check."""
    check_adapter(Plain, TASK, URL, respond=respond)
    with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
        probe.connect(("127.0.0.1", 1))


def test_a_class_alone_cannot_be_checked():
    """A class needs a task and its options."""
    with pytest.raises(TypeError, match="task and fields"):
        check_adapter(Plain, respond=respond)


def announce(monkeypatch, **values):
    entries = [EntryPoint(name, value, "metav_audit.adapters") for name, value in values.items()]
    monkeypatch.setattr(discovery, "entry_points", lambda group: entries)


def test_a_broken_adapter_harms_no_other(monkeypatch):
    """A package that fails to import, or announces something else, is listed with its problem."""
    here = "tests.adapter.test_discovery"
    announce(monkeypatch, good=f"{here}:Plain", gone="no_such_module:X", wrong=f"{here}:TASK")
    listed = {each.name: each for each in installed_adapters()}
    assert find_adapter("good") is listed["good"].adapter is not None
    assert "ModuleNotFoundError" in listed["gone"].problem
    assert "no subclass" in listed["wrong"].problem
    with pytest.raises(ConfigurationError, match=r"'gone'.*cannot be used"):
        find_adapter("gone")


def test_two_packages_with_one_name_are_told(monkeypatch):
    """A name announced twice is ambiguous and cannot be used."""
    entries = [EntryPoint("x", value, "metav_audit.adapters") for value in ("a:A", "b:B")]
    monkeypatch.setattr(discovery, "entry_points", lambda group: entries)
    with pytest.raises(ConfigurationError, match="two packages"):
        find_adapter("x")


def test_without_any_adapter_the_message_says_so(monkeypatch):
    """Nothing installed is said as it is."""
    announce(monkeypatch)
    with pytest.raises(ConfigurationError, match="use one of none"):
        find_adapter("x")
