"""A whole audit from Python: what it returns, what it leaves, and whom it tells of it in what order."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

import numpy as np
import pytest

from metav_audit import audit_and_report
from metav_audit.errors import ConfigurationError, RemoteError
from metav_audit.evidence import AttestedStatus, Sealer
from metav_audit.report.layout.cover import lay_out_cover
from metav_audit.transcript import Campaign
from metav_audit.verdict import AuditFolder, VerdictOutcome
from metav_audit.verify import verify_folder
from tests.audit.helpers import endpoint
from tests.audit.test_cli import BUNDLE, TARGET, TASK
from tests.builders import linear_model, make_siblings_bundle
from tests.evidence.conftest import signing_key
from tests.evidence.test_independent import script
from tests.servers import ModelServer, always

OTHER = linear_model(TASK, 9, distance=3.0)


def named(name, server):
    return dataclasses.replace(endpoint(server.url, TASK), name=name)


def files(folder):
    return {path.name for path in folder.path.iterdir()}


def test_every_endpoint_has_a_result_and_a_folder_that_verifies(tmp_path):
    """Asked, decided, reported and listed; what could not be asked is a result with its error."""
    with ModelServer(TARGET) as ours, ModelServer(OTHER) as other, ModelServer(TARGET, fault=always(401)) as closed:
        suspects = [named("closed", closed), named("ours", ours), named("other", other)]
        case = audit_and_report(BUNDLE, suspects, tmp_path)
    assert case.control is None
    assert [result.endpoint.name for result in case.results] == ["closed", "ours", "other"]
    closed, *audited = case.results
    assert isinstance(closed.error, RemoteError)
    assert (closed.verdict, closed.report) == (None, None)
    outcomes = [VerdictOutcome.MATCH, VerdictOutcome.NO_MATCH]
    assert [result.verdict.outcome for result in audited] == outcomes
    for result in audited:
        assert (result.error, result.stands) == (None, None)
        assert result.folder == AuditFolder(tmp_path / result.endpoint.name)
        assert result.folder.verdict() == result.verdict
        assert all(step.passed for step in verify_folder(result.folder))
    assert {path.name for path in tmp_path.glob("summary.*")} == {"summary.csv", "summary.html", "summary.pdf"}


def test_each_audit_s_first_record_says_among_how_many_it_was_begun(tmp_path):
    """The run's endpoints but its control, and what stood there with the same bundle; to go on counts nothing, nor do
    others. The cover corrects a match for them, and the script reads the record."""
    other = make_siblings_bundle(queries=8, task=TASK)
    with ModelServer(TARGET) as first, ModelServer(TARGET) as second, ModelServer(TARGET) as own:
        audit_and_report(other, [named("c", first)], tmp_path)
        audit_and_report(BUNDLE, [named("d", first)], tmp_path)
        suspects = [named("a", first), named("b", second), named("own", own)]
        for _ in range(2):
            case = audit_and_report(BUNDLE, suspects, tmp_path, control="own")
    for result in case.results:
        assert result.folder.transcript().campaign == Campaign(endpoints=2, earlier=1)
        assert script.check(result.folder.path)
    cover = dict(lay_out_cover(case.results[1].report).glance)["One of how many"]
    p = case.results[1].verdict.p_value_match
    assert cover.startswith(
        "2 endpoints asked in this run, after 1 earlier audit with this bundle in the auditor's rec"
    )
    assert cover.endswith(f"Corrected for all 3 (Bonferroni) the match's p is at most {3 * p:.2g}.")


@pytest.mark.parametrize(("model", "stands"), [(TARGET, True), (OTHER, False)])
def test_the_control_is_finished_first_and_says_whether_the_others_stand(tmp_path, model, stands):
    """Wherever it is among the endpoints; the suspects' folders remember what became of it."""
    told = []
    with ModelServer(TARGET) as suspect, ModelServer(model) as control:
        endpoints = [named("suspect", suspect), named("own", control)]
        case = audit_and_report(BUNDLE, endpoints, tmp_path, control="own", finish=told.append)
    own, suspect = case.results
    assert tuple(told) == case.results
    assert (own.endpoint.name, own.is_control, own.stands) == ("own", True, None)
    assert (suspect.endpoint.name, suspect.is_control, suspect.stands) == ("suspect", False, stands)
    assert (case.control.control, case.control.passed) == ("own", stands)
    assert suspect.report.custody.control.passed is stands
    assert "positive-control.json" not in files(own.folder)


def test_a_control_that_is_no_endpoint_is_refused(tmp_path):
    """A run without the control that was asked for would stand for nothing: nothing is sent."""
    with ModelServer(TARGET) as server:
        with pytest.raises(ConfigurationError, match="'own' is none of the endpoints: give one of suspect"):
            audit_and_report(BUNDLE, [named("suspect", server)], tmp_path / "out", control="own")
        assert server.log == []
    assert not (tmp_path / "out").exists()


def test_who_seals_stands_in_the_first_record(tmp_path):
    """A seal that somebody takes away is missed, since the transcript names the key from its beginning."""
    key = signing_key(1)
    with ModelServer(TARGET) as server:
        case = audit_and_report(BUNDLE, [named("a", server)], tmp_path, sealer=Sealer(key, None))
    (result,) = case.results
    assert result.folder.transcript().operator["key_id"] == key.public.key_id
    assert result.report.custody.seal.status is AttestedStatus.SEALED
    (result.folder / "seal.json").unlink()
    broken = [step.name for step in verify_folder(result.folder) if not step.passed]
    assert "seal at the end" in broken


def test_blind_controls_are_told_before_the_endpoints_are_asked(tmp_path):
    """They are put beside the suspect's transcript, where the verdict takes them up."""
    rows = np.stack([linear_model(TASK, 5000 + seed, distance=3.0)(BUNDLE.inputs) for seed in range(20)])
    np.savez(tmp_path / "answers.npz", probability=rows)
    told = []
    with ModelServer(TARGET) as server:
        case = audit_and_report(
            BUNDLE, [named("a", server)], tmp_path / "out", blind=tmp_path / "answers.npz",
            gathered=lambda controls: told.append((len(controls.models), len(server.log))),
        )  # fmt: skip
    assert told == [(20, 0)]
    (result,) = case.results
    assert result.folder.controls() is not None
    assert result.verdict.controls is not None


def test_it_resumes_by_itself_and_leaves_the_same(tmp_path):
    """Run again with the server gone: nothing is asked, and the evidence stays as it was, byte for byte."""
    with ModelServer(TARGET) as server:
        suspect = named("a", server)
        (first,) = audit_and_report(BUNDLE, [suspect], tmp_path).results
    sums = (first.folder / "SHA256SUMS").read_bytes()
    (again,) = audit_and_report(BUNDLE, [suspect], tmp_path).results
    assert again.verdict == first.verdict
    assert (again.folder / "SHA256SUMS").read_bytes() == sums


def test_an_audit_with_siblings_says_what_its_promise_rests_on(tmp_path):
    """A copy is a match by both margins, another owner's model none, a sibling neither; all of it verifies."""
    bundle = make_siblings_bundle(queries=12, task=TASK)
    sibling = linear_model(TASK, 77, distance=0.5)
    models = {"copy": linear_model(TASK, 5, distance=0.03), "other": OTHER, "sibling": sibling}
    with ExitStack() as stack:
        suspects = [named(name, stack.enter_context(ModelServer(model))) for name, model in models.items()]
        case = audit_and_report(bundle, suspects, tmp_path)
    copy, other, sibling = (result.verdict for result in case.results)
    assert (copy.outcome, copy.siblings, copy.p_value_siblings) == (VerdictOutcome.MATCH, 39, 1 / 40)
    assert other.outcome is VerdictOutcome.NO_MATCH
    assert other.p_value_siblings > 0.05
    assert sibling.outcome is not VerdictOutcome.MATCH
    assert "the owner checked that: run with the target's own seed" in copy.guarantee
    for result in case.results:
        assert all(step.passed for step in verify_folder(result.folder))
        assert script.check(result.folder.path)
    text = (tmp_path / "copy" / "report.html").read_text()
    assert "exact for any suspect that came to be without the target" in text
    assert "The endpoint is at least as near to 0 of 39 siblings as to toy: p = 1/40 = 0.025" in text
