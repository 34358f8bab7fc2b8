"""``metav-audit replay``: the training program run again by whoever wants to know, and a signed statement of it."""

from __future__ import annotations

import dataclasses

import pytest

from metav_audit.cli import main
from metav_audit.evidence import Attestation, load_attestation
from metav_audit.evidence.replayed import check_replay_statement, make_replay_statement
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from tests.builders import make_bundle as built
from tests.evidence.conftest import signing_key


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("METAV_AUDIT_KEY_PASSPHRASE", "correct horse battery")

    def call(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out, shown.err

    return call


@pytest.fixture(scope="module")
def bundle(toy):
    return make_bundle(Making.of(toy.workshop, toy.zoo, "siblings"))


def test_the_target_is_reproduced_and_the_statement_holds(run, toy, bundle, tmp_path):
    """Exit code 0, one line of what was found, and a file that others can check against the bundle."""
    bundle.save(tmp_path / "bundle")
    run("keygen", tmp_path / "expert.pem")
    project = toy.workshop.project.path
    code, out, err = run("replay", tmp_path / "bundle", project, "--key", tmp_path / "expert.pem")
    assert (code, err) == (0, "")
    found, path = out.splitlines()
    assert found.startswith("reproduced: seed 1 gave answers that differ by 0 at most")
    statement = load_attestation(tmp_path / "bundle" / "replay.json")
    assert path == str(tmp_path / "bundle" / "replay.json")
    findings = check_replay_statement(statement, bundle)
    assert findings.passed
    assert any("the target of this bundle was replayed: reproduced" in each.detail for each in findings.findings)
    code, _, err = run("replay", tmp_path / "bundle", project, "--key", tmp_path / "expert.pem")
    assert (code, "never overwritten" in err) == (2, True)


def test_another_seed_is_said_and_exits_with_4(run, toy, bundle, tmp_path):
    """And without a key nothing is written."""
    bundle.save(tmp_path / "bundle")
    folder = toy.workshop.project.folder
    text = toy.workshop.project.text.replace("seed = 1\n", "seed = 2\n")
    for name in ("train", "heldout", "validation"):
        text = text.replace(f'"{name}.npz"', f'"{folder / name}.npz"')
    text = text.replace('"target.safetensors"', f'"{folder / "target.safetensors"}"')
    (tmp_path / "project.toml").write_text(text)
    code, out, _ = run("replay", tmp_path / "bundle", tmp_path)
    assert code == 4
    assert out.startswith("not reproduced: seed 2")
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "project.toml"}


def test_options_of_a_statement_need_a_key(run, tmp_path):
    """Before anything is read."""
    code, _, err = run("replay", tmp_path / "bundle", tmp_path, "-o", tmp_path / "out.json")
    assert (code, "name a key with --key" in err) == (2, True)


def test_a_statement_of_another_bundle_or_program_does_not_hold(bundle):
    """Nor one that was altered, or names no program."""
    key, found = signing_key(1), {"status": "reproduced"}
    from datetime import UTC, datetime

    now = datetime(2026, 3, 4, tzinfo=UTC)
    program = {name: bundle.provenance["training"][name] for name in ("program", "sources")}
    good = make_replay_statement(bundle, found, program, key, claimed_at=now)
    assert check_replay_statement(good, bundle).passed
    assert check_replay_statement(Attestation.from_bytes(good.to_bytes()), bundle).passed
    assert "it speaks of the bundle" in check_replay_statement(good, built()).problem
    other = make_replay_statement(bundle, found, {**program, "program": "theirs:train"}, key, claimed_at=now)
    assert "is not the one that the bundle names" in check_replay_statement(other, bundle).problem
    forged = dataclasses.replace(good, envelope=other.envelope)
    assert not check_replay_statement(forged, bundle).passed
