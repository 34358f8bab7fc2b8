"""An audit's folder as a value: what it opens, and what it says of a folder that is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from metav_audit.errors import BundleError, ConfigurationError, EvidenceError, TranscriptError
from metav_audit.verdict import AuditFolder, VerdictOutcome, audits_in, place_beside
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder


@pytest.fixture
def folder(tmp_path):
    return AuditFolder(make_folder(tmp_path / "suspect", linear_model(make_task(), 0)))


def test_it_opens_all_that_an_audit_left(folder):
    """Bundle, transcript, verdict and bodies; blind controls where there are any."""
    assert folder.name == "suspect"
    assert folder.bundle().sha256 == folder.transcript().bundle_sha256 == make_bundle().sha256
    assert folder.verdict().outcome is folder.recorded_outcome() is VerdictOutcome.MATCH
    assert folder.controls() is None
    with folder.bodies() as bodies:
        assert bodies is not None


def test_it_decides_anew_what_is_recorded(folder):
    """From the evidence alone; the decision brings all that it was decided from."""
    decision = folder.decided()
    assert decision.verdict == folder.verdict()
    assert (decision.bundle.sha256, decision.transcript.head) == (
        folder.bundle().sha256,
        decision.verdict.transcript_sha256,
    )


def test_a_verdict_that_does_not_follow_is_refused(folder):
    """The message says which command finds the difference."""
    recorded = json.loads((folder / "verdict.json").read_text())
    (folder / "verdict.json").write_text(json.dumps({**recorded, "outcome": "no_match"}))
    with pytest.raises(TranscriptError, match=r"does not follow .* 'metav-audit verify"):
        folder.decided()


def test_a_folder_that_is_none_says_what_it_lacks(folder, tmp_path):
    """One audit's folder is asked for; its parts, opened one by one, say the same in their own words."""
    empty = AuditFolder(tmp_path / "empty")
    with pytest.raises(ConfigurationError, match=r"it lacks bundle, transcript\.jsonl, verdict\.json; give one"):
        empty.check()
    (folder / "transcript.jsonl").unlink()
    with pytest.raises(ConfigurationError, match=r"it lacks transcript\.jsonl; give one audit's folder"):
        folder.decided()
    parts = ((empty.bundle, BundleError), (empty.transcript, TranscriptError), (empty.verdict, EvidenceError))
    for part, error in parts:
        with pytest.raises(error, match="empty"):
            part()
    assert (empty.recorded_outcome(), empty.controls()) == (None, None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"outcome": "stolen"}', b"\xff"])
def test_a_damaged_verdict_is_named(folder, content):
    """As evidence that is missing or damaged; its outcome is none."""
    (folder / "verdict.json").write_bytes(content)
    assert folder.recorded_outcome() is None
    with pytest.raises(EvidenceError, match=r"is missing or damaged: .*; audit again"):
        folder.verdict()


def test_it_knows_whether_a_bundle_s_copy_stands(folder):
    """Not another bundle's, nor one that lacks the commitment which came later."""
    own = folder.bundle()
    assert folder.holds(own)
    assert not folder.holds(make_bundle(seed=1))
    assert not folder.holds(dataclasses.replace(own, commitment=b"{}"))
    assert not AuditFolder(folder / "nowhere").holds(own)


def test_audits_come_by_name_and_nothing_else_does(folder):
    """Folders without a transcript are no audits."""
    for name in ("b", "a"):
        make_folder(folder.path.parent / name, linear_model(make_task(), 0))
    (folder.path.parent / "notes").mkdir()
    assert [each.name for each in audits_in(folder.path.parent)] == ["a", "b", "suspect"]


def test_what_is_signed_of_a_bundle_lands_in_no_audit_s_folder(folder, tmp_path, monkeypatch):
    """Beside the bundle; beside the audit where the bundle is an audit's copy, from wherever it is named."""
    assert place_beside(tmp_path / "own.bundle", "replay.json") == tmp_path / "own.bundle.replay.json"
    assert place_beside(folder / "bundle", "replay.json") == tmp_path / "suspect.replay.json"
    monkeypatch.chdir(folder.path)
    assert not folder.owns(place_beside(Path("bundle"), "replay.json").name)
    assert place_beside(Path("bundle"), "replay.json") == tmp_path / "suspect.replay.json"


def test_a_folder_owns_the_files_of_its_own_kind(folder):
    """Seal, closing and control belong to an audit; a plan and what follows from it to one by coins alone."""
    for name in ("closing.json", "seal.json", "positive-control/bodies.pack", "report.pdf", "bundle/commitment.json"):
        assert folder.owns(name)
    assert not any(map(folder.owns, ("coins.json", "plan.json", "bundle/.env", "positive-control/verdict.json")))
    (folder / "plan.json").write_bytes(b"{}")
    assert folder.owns("coins.json")
    assert not folder.owns("verdict.json")
