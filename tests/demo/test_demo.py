"""The demo, in miniature: its endpoint file, its server's three protocols, and a second run."""

from __future__ import annotations

import http.client
import json
import os

import numpy as np
import pytest
import safetensors.torch
import torch

from metav_audit.audit import audit_endpoint, load_endpoints
from metav_audit.bundle import FingerprintBundle, Schedule
from metav_audit.demo import digits, run, server
from metav_audit.demo.digits import TASK
from metav_audit.demo.run import endpoint_file, run_demo
from metav_audit.demo.suspects import SUSPECTS
from metav_audit.errors import RemoteError
from metav_audit.progress import silent
from metav_audit.verify import verify_folder
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.presets import PRESETS
from metav_audit.zoo.recipes import registry as recipes
from metav_audit.zoo.store import state_of
from tests.audit.helpers import needed
from tests.builders import make_bundle
from tests.serving.helpers import served
from tests.toy import MINI

NAMES = [suspect.name for suspect in SUSPECTS]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model of the demo's task, as the server loads it."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    torch.manual_seed(3)
    safetensors.torch.save_file(state_of(build_architecture("mlp-small", TASK)), path)
    return server.load_suspect("mlp-small", path, TASK)


@pytest.fixture(scope="module")
def port(model):
    """The demo's server in a thread."""
    with served(lambda request: server.answer(model, request)) as running:
        yield running.server_address[1]


def endpoints(tmp_path, port):
    (tmp_path / "endpoints.toml").write_text(endpoint_file([port] * len(SUSPECTS)))
    return load_endpoints(tmp_path / "endpoints.toml", TASK)


def test_the_endpoint_file_is_read_back(tmp_path):
    """Each suspect has a table with its own adapter and port."""
    (tmp_path / "endpoints.toml").write_text(endpoint_file([8001, 8002, 8003]))
    read = load_endpoints(tmp_path / "endpoints.toml", TASK)
    assert [each.name for each in read] == NAMES
    assert [each.record().adapter for each in read] == [suspect.adapter for suspect in SUSPECTS]
    assert [each.record().url.split(":")[2].split("/")[0] for each in read] == ["8001", "8002", "8003"]
    assert run._ports(tmp_path / "endpoints.toml") == [8001, 8002, 8003]
    assert run._ports(tmp_path / "none.toml") == [0, 0, 0]


@pytest.mark.parametrize("number", range(3), ids=NAMES)
def test_each_protocol_carries_the_same_answers(tmp_path, port, model, number):
    """Through all three adapters the auditor sees the model's own probabilities, to the last digits."""
    bundle = make_bundle(queries=20, task=TASK)
    transcript = audit_endpoint(bundle, endpoints(tmp_path, port)[number], tmp_path / "audit")
    asked = list(Schedule.for_bundle(bundle, transcript.nonce).numbers)
    factor = 100 if SUSPECTS[number].options.get("scores") == "percent" else 1
    answers = np.array([answer.scores for answer in transcript.answers], np.float64) / factor
    assert np.allclose(answers, model.predict(bundle.inputs)[asked], rtol=0, atol=1e-6)
    assert transcript.requests == needed(20, SUSPECTS[number].options.get("batch", 1))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/none", b"{}", 404),
        ("/classify", b"not JSON", 400),
        ("/classify", b'{"image": "AAAA"}', 400),
        ("/classify", b"{}", 400),
        ("/v1/models/digits:predict", b'{"instances": [[1, 2]]}', 400),
        ("/v2/models/digits/infer", b'{"inputs": []}', 400),
        ("/v2/models/digits/infer", b"[]", 400),
    ],
)
def test_the_server_refuses_what_it_cannot_read(port, path, body, status):
    """Wrong paths and bodies get 404 and 400 with a reason, and the server goes on."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body)
    response = connection.getresponse()
    assert response.status == status
    assert json.loads(response.read())["error"]
    connection.close()


def test_a_server_that_does_not_start_is_told(tmp_path, monkeypatch):
    """A process that ends at once is a RemoteError that names the suspect."""
    from contextlib import ExitStack
    from types import SimpleNamespace

    from metav_audit.demo import suspects

    workshop = SimpleNamespace(project=SimpleNamespace(path=tmp_path / "none.toml"))
    with ExitStack() as stack, pytest.raises(RemoteError, match="server of finetuned on port any did not start"):
        suspects._start(stack, workshop, tmp_path, SUSPECTS[0], 0)


@pytest.fixture
def small(monkeypatch):
    """A demo of a few small models, trained in this process."""
    monkeypatch.setitem(PRESETS, "quick", MINI)
    parts = {"train": slice(0, 90), "heldout": slice(90, 180), "validation": slice(180, 280)}
    monkeypatch.setattr(digits, "PARTS", parts)
    monkeypatch.setattr(
        digits, "PROJECT", digits.PROJECT.replace("[fingerprint]\n", "[fingerprint]\nqueries = 8\nsteps = 10\n")
    )
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def forbidden(*arguments, **options):
    raise AssertionError("this was done already")


@pytest.mark.soak
def test_a_second_run_trains_and_asks_nothing_again(tmp_path, small, monkeypatch):
    """The first run leaves three audits that verify; the second says so, starts no server, and finds the same."""
    said = []
    first = run_demo(tmp_path, 0, said.append, lambda what: silent)
    assert [result.name for result in first] == NAMES
    assert len(said) == 4
    assert FingerprintBundle.load(tmp_path / "digits.bundle").sha256 == first[0].verdict.bundle_sha256
    for result in first:
        assert not [step for step in verify_folder(result.folder) if not step.passed]
        assert (result.folder / "report.pdf").exists()
        assert result.verdict.answered == 8
    monkeypatch.setattr(run, "serving", forbidden)
    monkeypatch.setattr(recipes, "make_surrogate", forbidden)
    said.clear()
    second = run_demo(tmp_path, 0, said.append, lambda what: silent)
    assert [result.verdict for result in second] == [result.verdict for result in first]
    assert [result.performance for result in second] == [result.performance for result in first]
    assert any("nothing was trained again" in line for line in said)
    assert any("nothing was asked again" in line for line in said)


def test_the_same_seed_divides_the_digits_alike(tmp_path):
    """Training, held-out and validation data share no row, and follow from the seed."""
    parts, again = digits._parts(0), digits._parts(0)
    order = [each.tobytes() for part in parts.values() for each in part.inputs]
    assert [len(part) for part in parts.values()] == [700, 700, 397]
    assert order == [each.tobytes() for part in again.values() for each in part.inputs]
    assert order != [each.tobytes() for part in digits._parts(1).values() for each in part.inputs]
    assert np.array_equal(TASK.domain.project(parts["train"].inputs), parts["train"].inputs)


def test_a_project_that_stands_is_not_written_again(tmp_path, monkeypatch):
    """What an owner edited in the demo's project stays."""
    (tmp_path / "project.toml").write_text("# mine")
    monkeypatch.setattr(digits, "train", forbidden)
    assert digits.write_project(tmp_path, 0, "quick") == tmp_path / "project.toml"
    assert (tmp_path / "project.toml").read_text() == "# mine"
