"""Is it still exactly ours? From the project to a plan, enrolled sessions, and verdicts over HTTP."""

from __future__ import annotations

import copy
import csv
import json
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from metav_audit.bundle.integrity import IntegrityPlan
from metav_audit.cli import main
from metav_audit.errors import BundleError
from metav_audit.evidence import write_sums
from metav_audit.fingerprint import integrity
from metav_audit.verdict import AuditFolder
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.training import prune
from tests.servers import ModelServer
from tests.toy import TRAINING, train, trained, write_toy
from tests.toy import pictures as toy_pictures

ENDPOINT = """
[endpoints.{name}]
adapter = "open-inference-v2"
url = "{url}"
model = "m"
batch = 8
"""


def run(*words: object) -> int:
    """The command line's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return int(ended.value.code or 0)


def shown(model, decimals=None):
    """A model as a server calls it."""

    @torch.no_grad()
    def answer(inputs):
        shares = torch.softmax(model(torch.from_numpy(np.asarray(inputs, np.float32))), dim=1).double().numpy()
        return shares if decimals is None else shares.round(decimals)

    return answer


def halved(model):
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


def slightly_pruned(model):
    model = copy.deepcopy(model)
    prune(model, 0.15)
    return model.eval()


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A plan of 16 inputs, of a target whose training program is named."""
    folder = tmp_path_factory.mktemp("integrity")
    before, integrity.TRIED = integrity.TRIED, 4
    try:
        assert run("fit", write_toy(folder, TRAINING), "--mode", "integrity", "-o", folder / "plan.json") == 0
    finally:
        integrity.TRIED = before
    return folder / "plan.json"


@pytest.fixture
def told(plan, tmp_path):
    """The same plan with six sessions of the deployment, half of them in half precision."""
    path = tmp_path / "plan.json"
    path.write_bytes(plan.read_bytes())
    with ModelServer(shown(trained())) as one, ModelServer(shown(halved(trained()))) as other:
        (tmp_path / "own.toml").write_text(
            "".join(ENDPOINT.format(name=name, url=server.url) for name, server in (("full", one), ("half", other)))
        )
        assert run("enrol", path, tmp_path / "own.toml", "--sessions", 3) == 0
    return path


def test_a_plan_says_what_its_inputs_catch(plan):
    """Of each change, on copies that chose none of them; the file is the canonical one."""
    found = IntegrityPlan.load(plan)
    assert len(found.inputs) == 16
    assert {each.change for each in found.catches} == set(integrity.CHANGES)
    assert all(each.by_scores == each.copies == 4 for each in found.catches)
    assert found.sha256 == IntegrityPlan.from_json(json.loads(plan.read_bytes())).sha256


def test_unchanged_changed_and_what_can_not_be_told(told, tmp_path, capsys):
    """Over HTTP: the deployment, however served as enrolled; a pruned copy, a sibling; too few sessions."""
    inputs, labels = toy_pictures(1, 120)
    sibling = train(5, LabelledData(inputs.astype(np.float32), labels))
    models = {"same": trained(), "half": halved(trained()), "pruned": slightly_pruned(trained()), "sibling": sibling}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(ModelServer(shown(model.eval()))) for name, model in models.items()}
        (tmp_path / "suspects.toml").write_text(
            "".join(ENDPOINT.format(name=name, url=server.url) for name, server in servers.items())
        )
        assert run("audit", told, tmp_path / "suspects.toml", "-o", tmp_path / "audits", "--dry-run") == 0
        assert not any(server.log for server in servers.values())
        assert run("audit", told, tmp_path / "suspects.toml", "-o", tmp_path / "audits") == 1
        verdicts = {name: json.loads((tmp_path / "audits" / name / "verdict.json").read_text()) for name in models}
        outcomes = {name: verdict["outcome"] for name, verdict in verdicts.items()}
        assert outcomes == {"same": "unchanged", "half": "unchanged", "pruned": "changed", "sibling": "changed"}
        assert verdicts["sibling"]["p_value"] == pytest.approx(1 / 7)
        assert "proven is that" in verdicts["same"]["guarantee"]
        asked = len(servers["same"].log)
        assert run("audit", told, tmp_path / "suspects.toml", "-o", tmp_path / "audits") == 1
        assert len(servers["same"].log) == asked
        bare = tmp_path / "bare.json"
        IntegrityPlan.load(told).bare.save(bare)
        (tmp_path / "one.toml").write_text(ENDPOINT.format(name="same", url=servers["same"].url))
        capsys.readouterr()
        assert run("audit", bare, tmp_path / "one.toml", "-o", tmp_path / "few") == 2
        assert "0 of the 5 sessions" in capsys.readouterr().err
        assert len(servers["same"].log) == asked


def test_a_folder_verifies_and_an_altered_one_does_not(told, tmp_path, capsys):
    """Exit code 6, since nobody signed it; 4 where the verdict, an answer or a session was altered."""
    with ModelServer(shown(trained())) as server:
        (tmp_path / "one.toml").write_text(ENDPOINT.format(name="same", url=server.url))
        assert run("audit", told, tmp_path / "one.toml", "-o", tmp_path / "audits") == 0
    folder = tmp_path / "audits" / "same"
    assert run("verify", folder) == 6
    assert "not sealed" in capsys.readouterr().out
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unseen"] for row in rows] == ["False"] * 16
    assert "Unchanged" in (folder / "report.html").read_text()
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert run("verify", folder, "--auditor", "0" * 64) == 2
    assert run("report", folder) == 2
    assert run("report", tmp_path / "audits") == 2
    for name, old, new in (
        ("verdict.json", b'"unchanged"', b'"changed"'),
        ("integrity-plan.json", b'"rate":0.01', b'"rate":0.02'),
        ("transcript.jsonl", b"0.", b"0.1"),
        ("report.html", b"Unchanged", b"Changed"),
        ("report.csv", b"False", b"True"),
    ):
        kept, sums = (folder / name).read_bytes(), (folder / "SHA256SUMS").read_bytes()
        (folder / name).write_bytes(kept.replace(old, new, 1))
        write_sums(AuditFolder(folder))
        assert run("verify", folder) == 4
        (folder / name).write_bytes(kept)
        (folder / "SHA256SUMS").write_bytes(sums)


def test_what_would_be_called_changed_is_not_enrolled_by_mistake(told, tmp_path, capsys):
    """Unless it is said to be the same; a dead endpoint before it keeps nobody else out."""
    with ModelServer(shown(slightly_pruned(trained()))) as other, ModelServer(shown(trained())) as same:
        (tmp_path / "mixed.toml").write_text(
            "".join(
                ENDPOINT.format(name=name, url=url)
                for name, url in (("dead", "http://127.0.0.1:9"), ("other", other.url), ("mine", same.url))
            )
        )
        assert run("enrol", told, tmp_path / "mixed.toml") == 4
        said = capsys.readouterr()
        assert ("would call it changed" in said.err, "7 sessions" in said.out) == (True, True)
        (tmp_path / "one.toml").write_text(ENDPOINT.format(name="other", url=other.url))
        assert run("enrol", told, tmp_path / "one.toml", "--same") == 0
        assert [each.endpoint for each in IntegrityPlan.load(told).sessions[6:]] == ["mine", "other"]


def test_fitting_again_keeps_what_was_enrolled(told, plan, monkeypatch, capsys):
    """The same inputs: nothing to do; others in that place: refused."""
    monkeypatch.setattr(integrity, "TRIED", 4)
    assert run("fit", plan.parent / "project.toml", "--mode", "integrity", "-o", told) == 0
    assert "with 6 sessions" in capsys.readouterr().err
    assert len(IntegrityPlan.load(told).sessions) == 6
    assert run("fit", plan.parent / "project.toml", "--mode", "integrity", "-o", told, "--queries", 8) == 2


def test_swapped_arguments_are_told(told, tmp_path, capsys):
    """Exit code 2, and what to name first."""
    (tmp_path / "one.toml").write_text(ENDPOINT.format(name="a", url="http://127.0.0.1:9"))
    assert run("enrol", tmp_path / "one.toml", told) == 2
    assert "is no integrity plan" in capsys.readouterr().err


def test_labels_alone_and_rounded_scores_are_compared_as_shown(told, tmp_path):
    """What is audited may show less than what was enrolled."""
    with ModelServer(shown(trained(), 3)) as same, ModelServer(shown(slightly_pruned(trained()), 3)) as pruned:
        (tmp_path / "own.toml").write_text(ENDPOINT.format(name="rounded", url=same.url))
        assert run("audit", told, tmp_path / "own.toml", "-o", tmp_path / "audits") == 0
        (tmp_path / "own.toml").write_text(ENDPOINT.format(name="other", url=pruned.url))
        assert run("audit", told, tmp_path / "own.toml", "-o", tmp_path / "audits") == 1


def test_what_makes_no_sense_is_refused_before_anything_is_sent(told, plan, tmp_path, capsys):
    """Options of bundles; a damaged plan; a plan in a project's place."""
    (tmp_path / "one.toml").write_text(ENDPOINT.format(name="a", url="http://127.0.0.1:9"))
    assert run("audit", told, tmp_path / "one.toml", "--stop-early") == 2
    assert "--stop-early is for bundles" in capsys.readouterr().err
    assert run("fit", plan.parent / "project.toml", "--queries", 8) == 2
    assert run("fit", plan.parent / "project.toml", "--mode", "integrity", "--method", "metav") == 2
    (tmp_path / "bad.json").write_bytes(told.read_bytes().replace(b'"rate":0.01', b'"rate":2.0'))
    with pytest.raises(BundleError, match="rate of false alarms"):
        IntegrityPlan.load(tmp_path / "bad.json")
    assert run("audit", tmp_path / "bad.json", tmp_path / "one.toml") == 4


def test_a_session_is_enrolled_once(told):
    """Twice the same transcript is refused."""
    found = IntegrityPlan.load(told)
    with pytest.raises(BundleError, match="enrolled twice"):
        found.with_sessions(found.sessions[:1])
