"""A verdict as an in-toto test result, held to in-toto's own types and read by another program's DSSE."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as TheirResult
from in_toto_attestation.v1.statement import Statement as TheirStatement
from in_toto_attestation.v1.statement_pb2 import Statement as TheirFields
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from metav_audit.cli import main
from metav_audit.config import PASSPHRASE
from metav_audit.evidence import write_verdict_statement
from metav_audit.evidence.verdict_statement import PREDICATE_TYPE
from metav_audit.verdict import AuditFolder, ControlRecord
from tests.builders import linear_model, make_bundle, make_task
from tests.evidence.conftest import signing_key
from tests.folders import make_folder

TASK, BUNDLE = make_task(), make_bundle()
NEAR, FAR = linear_model(TASK, 5, distance=0.03), linear_model(TASK, 9, distance=3.0)
WARNED = {"result": "WARNED", "passedTests": [], "warnedTests": ["comparable"], "failedTests": []}


def audited(path, model=NEAR, **more):
    return AuditFolder(make_folder(path, model, bundle=BUNDLE, **more))


def predicate(folder):
    fields = json.loads(write_verdict_statement(folder))
    assert fields["_type"] == "https://in-toto.io/Statement/v1"
    assert fields["predicateType"] == PREDICATE_TYPE == "https://in-toto.io/attestation/test-result/v0.1"
    TheirStatement.copy_from_pb(ParseDict(fields, TheirFields())).validate()
    ParseDict(fields["predicate"], TheirResult())
    told = dict(fields["predicate"])
    told.pop("configuration")
    return told


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (NEAR, {"result": "FAILED", "passedTests": ["comparable"], "warnedTests": [], "failedTests": ["not-derived"]}),
        (FAR, {"result": "PASSED", "passedTests": ["comparable", "not-derived"], "warnedTests": [], "failedTests": []}),
    ],
)
def test_a_verdict_is_a_result(tmp_path, model, told):
    """A match fails, no match passes; in-toto's own reader takes statement and predicate."""
    assert predicate(audited(tmp_path, model)) == told


def test_what_cannot_be_told_is_a_warning_and_no_pass(tmp_path):
    """Inconclusive, and any verdict beside a control that failed."""
    assert predicate(audited(tmp_path / "silent", unanswered=range(5))) == WARNED
    for model in (NEAR, FAR):
        folder = audited(tmp_path / str(model is NEAR), model)
        failed = ControlRecord(
            "own", passed=False, outcome="no_match", error=None, bundle_sha256="0" * 64, transcript_sha256="0" * 64
        )
        (folder / "positive-control.json").write_bytes(failed.to_bytes())
        assert predicate(folder) == WARNED


def test_its_subjects_are_files_of_the_folder(tmp_path):
    """By the hashes that any program would take of them; the bundle is named as what was tested with."""
    folder = audited(tmp_path)
    fields = json.loads(write_verdict_statement(folder))
    subjects = {each["name"]: each["digest"]["sha256"] for each in fields["subject"]}
    assert subjects.keys() == {"transcript.jsonl", "bundle/manifest.json"}
    for name, sha256 in subjects.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    bundle, endpoint = fields["predicate"]["configuration"]
    assert bundle["annotations"] == {"bundle_sha256": BUNDLE.sha256}
    assert bundle["digest"]["sha256"] == subjects["bundle/manifest.json"]
    assert endpoint == {"name": "suspect", "uri": "http://127.0.0.1:8080/predict"}


def test_signed_it_is_an_envelope_that_others_verify(tmp_path):
    """securesystemslib takes it with this key, and with no other; its payload is the plain statement."""
    folder = audited(tmp_path)
    written = json.loads(write_verdict_statement(folder, signing_key(1)))
    theirs = TheirEnvelope.from_dict(written)
    ours, other = signing_key(1).public, signing_key(2).public
    theirs.verify([SSlibKey.from_crypto(ours.public, ours.key_id)], 1)
    assert theirs.payload + b"\n" == write_verdict_statement(folder)
    with pytest.raises(VerificationError):
        theirs.verify([SSlibKey.from_crypto(other.public, ours.key_id)], 1)


def run(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code or 0


def test_report_writes_the_statement_and_no_report(tmp_path, capsys, monkeypatch):
    """Its path is printed; a key that metav-audit made signs it."""
    folder = audited(tmp_path / "suspect")
    monkeypatch.setenv(PASSPHRASE, "correct horse battery")
    assert run("keygen", tmp_path / "key.pem") == 0
    capsys.readouterr()
    assert run("report", folder.path, "--in-toto", tmp_path / "result.json", "--key", tmp_path / "key.pem") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'result.json'}\n"
    payload = base64.b64decode(json.loads((tmp_path / "result.json").read_bytes())["payload"])
    assert json.loads(payload)["predicate"]["result"] == "FAILED"
    assert not folder.has("report.json")


def test_a_statement_is_never_overwritten(tmp_path, capsys):
    """Nor written where the folder is none, or beside options of reports: exit code 2, one line."""
    folder = audited(tmp_path / "suspect")
    file = tmp_path / "result.json"
    assert run("report", folder.path, "--in-toto", file) == 0
    before = file.read_bytes()
    for words in (
        (folder.path, "--in-toto", file),
        (folder.path, "--in-toto", tmp_path / "b.json", "--format", "pdf"),
        (folder.path, "--key", "env:K"),
        (tmp_path, "--in-toto", tmp_path / "b.json"),
        (folder.path, "--in-toto", tmp_path / "b.json", "--key", tmp_path / "none.pem"),
    ):
        capsys.readouterr()
        assert run("report", *words) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert file.read_bytes() == before
    assert not (tmp_path / "b.json").exists()


def test_a_verdict_that_does_not_follow_is_not_stated(tmp_path, capsys):
    """verdict.json says no match of answers that match: exit code 4."""
    folder = audited(tmp_path / "suspect")
    told = json.loads((folder / "verdict.json").read_bytes()) | {"outcome": "no_match"}
    (folder / "verdict.json").write_text(json.dumps(told))
    assert run("report", folder.path, "--in-toto", tmp_path / "b.json") == 4
    assert not (tmp_path / "b.json").exists()
