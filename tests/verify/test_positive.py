"""The positive control: decided anew from its own transcript; what became of it cannot be written otherwise."""

from __future__ import annotations

import json
import shutil

import pytest

from metav_audit.evidence import write_sums
from metav_audit.report import write_reports
from metav_audit.verdict import AuditFolder
from metav_audit.verify import Expected, Status, verify_audit
from tests.builders import linear_model, make_task
from tests.evidence.test_independent import script
from tests.folders import AUDITOR, OWNER, make_sealed_folder, rechain

STEP = "positive control matches again"
KNOWN = Expected(OWNER.public.key_id, AUDITOR.public.key_id)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_sealed_folder(tmp_path_factory.mktemp("audits"), sealed=False)


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "suspect")


def step(folder):
    """The control's step, once reports and list are written anew, as any forger can."""
    write_reports(folder)
    write_sums(AuditFolder(folder))
    return next(each for each in verify_audit(folder).steps if each.name == STEP)


def change(folder, **fields):
    path = folder / "positive-control.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_a_control_that_matches_passes(folder):
    """It is decided anew, and the independent script says so, too."""
    assert step(folder).status is Status.PASSED
    assert "positive control: own" in script.check(folder)


def test_a_failed_control_cannot_be_called_passed(tmp_path):
    """With record and reports written anew it still does not follow from the control's transcript."""
    folder = make_sealed_folder(tmp_path, control=linear_model(make_task(), 9, distance=3.0), sealed=False)
    failed = step(folder)
    assert (failed.status, failed.detail.split(": ")[-1]) == (Status.FAILED, "no verdict of this run stands.")
    change(folder, passed=True, outcome="match")
    assert "the control is" in step(folder).detail
    with pytest.raises(script.WrongError):
        script.check(folder)


FORGERIES = {
    "another name": lambda folder: change(folder, control="other"),
    "another transcript": lambda folder: change(folder, transcript_sha256="0" * 64),
    "another bundle": lambda folder: change(folder, bundle_sha256="0" * 64),
    "passed without a match": lambda folder: change(folder, outcome="no_match"),
    "a field too many": lambda folder: change(folder, surprise=1),
    "no record": lambda folder: (folder / "positive-control.json").unlink(),
    "no transcript": lambda folder: (folder / "positive-control/transcript.jsonl").unlink(),
    "no bodies": lambda folder: (folder / "positive-control/bodies.pack").unlink(),
    "another operator": lambda folder: rechain(
        folder / "positive-control/transcript.jsonl", lambda records: records[0].update(operator={})
    ),
    "the suspect's own transcript": lambda folder: shutil.copy(
        folder / "transcript.jsonl", folder / "positive-control/transcript.jsonl"
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_record_that_does_not_follow_is_found(folder, forgery):
    """Whatever of record and transcript does not fit fails the step."""
    FORGERIES[forgery](folder)
    write_sums(AuditFolder(folder))
    found = next(each for each in verify_audit(folder).steps if each.name == STEP)
    assert found.status is Status.FAILED, found


def test_under_a_seal_a_record_cannot_be_deleted(tmp_path):
    """Record, transcript and all: the seal lists them."""
    folder = make_sealed_folder(tmp_path)
    assert verify_audit(folder, KNOWN).exit_code == 0
    (folder / "positive-control.json").unlink()
    shutil.rmtree(folder / "positive-control")
    (folder / "closing.json").unlink()
    write_reports(folder)
    write_sums(AuditFolder(folder))
    found = verify_audit(folder, KNOWN)
    failed = {each.name for each in found.steps if each.status is Status.FAILED}
    assert failed == {"seal at the end", "list of all files signed"}
    assert (found.exit_code, found.authentic) == (4, False)
