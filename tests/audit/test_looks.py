"""An audit that may stop early: it ends at the first look that is clear, keeps its promise, and can be verified."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from metav_audit import audit_and_report
from metav_audit.bundle import Schedule
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError
from metav_audit.verdict import AuditFolder, VerdictOutcome
from metav_audit.verify import Status, verify_folder
from tests.audit.helpers import endpoint
from tests.audit.test_cli import table
from tests.builders import linear_model, make_bundle, make_siblings_bundle, make_task
from tests.evidence.test_independent import script
from tests.servers import ModelServer, Reply, at

TASK = make_task()
RANKED = make_siblings_bundle(queries=24, task=TASK)
PLAIN = make_bundle(queries=24, task=TASK)
TARGET, OTHER = linear_model(TASK, 0), linear_model(TASK, 9, distance=3.0)


def constant(inputs):
    return np.tile(TARGET(RANKED.inputs[:1]), (len(inputs), 1))


def audited(bundle, model, out, **options):
    with ModelServer(model, **options) as server:
        one = dataclasses.replace(endpoint(server.url, TASK, limits={"requests": 200}), name="suspect")
        (result,) = audit_and_report(bundle, [one], out, stop_early=True).results
        return result, len(server.log)


@pytest.mark.parametrize(
    ("bundle", "model", "outcome"),
    [(RANKED, TARGET, VerdictOutcome.MATCH), (PLAIN, OTHER, VerdictOutcome.NO_MATCH)],
    ids=["siblings", "zoo alone"],
)
def test_it_ends_at_the_first_look_that_is_clear_and_verifies(tmp_path, bundle, model, outcome):
    """A fraction of the queries, the same verdict; report and verdict say so, and every step is recomputed."""
    result, asked = audited(bundle, model, tmp_path)
    verdict = result.verdict
    assert (verdict.outcome, verdict.looks.taken, verdict.answered) == (outcome, 1, 8)
    assert asked < len(result.folder.transcript().exchanges) / 2
    assert "ended at look 1 of 3, after 8 of 24 queries" in verdict.reasons[-1]
    assert json.loads((result.folder.path / "verdict.json").read_text())["looks"]["after"] == [8, 12, 24]
    assert "ended at look 1 of 3" in (result.folder.path / "report.html").read_text()
    assert result.folder.verdict() == verdict
    assert [step for step in verify_folder(result.folder) if not step.passed] == []


def test_a_second_run_asks_nothing_and_one_without_the_option_is_refused(tmp_path):
    """What was begun so goes on so: neither is evidence of the other."""
    result, _ = audited(RANKED, TARGET, tmp_path)
    again = audit_and_report(RANKED, [result.endpoint], tmp_path, stop_early=True).results[0]
    assert again.verdict == result.verdict
    with pytest.raises(ConfigurationError, match="was begun with --stop-early"):
        audit_and_report(RANKED, [result.endpoint], tmp_path)


def test_who_is_never_clear_is_asked_everything(tmp_path):
    """Early stopping is for a match or none, never for what cannot be told."""
    result, _ = audited(RANKED, constant, tmp_path)
    assert result.verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert (result.verdict.looks.taken, result.verdict.answered) == (3, 24)


def test_an_outage_in_a_look_does_no_harm(tmp_path):
    """Two answers with status 503, and the same verdict."""
    result, _ = audited(RANKED, TARGET, tmp_path, fault=at(3, 6, reply=Reply(503)))
    assert (result.verdict.outcome, result.verdict.looks.taken) == (VerdictOutcome.MATCH, 1)
    assert [step for step in verify_folder(result.folder) if not step.passed] == []


def test_who_went_on_behind_a_clear_look_is_found_out(tmp_path):
    """Nobody looks on until a look pleases them: an audit whose first look was clear ends there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metav_audit.audit.client._is_clear", lambda *_: False)
        longer, _ = audited(RANKED, TARGET, tmp_path)
    assert longer.verdict.looks.taken == 3
    failed = [step for step in verify_folder(longer.folder) if step.status is Status.FAILED]
    assert [step.name for step in failed] == ["no look before was clear"]
    assert "look 1 was clear, match" in failed[0].detail


def test_the_independent_script_says_that_it_cannot_recompute_it(tmp_path, capsys):
    """It neither passes nor fails what it does not know."""
    result, _ = audited(RANKED, TARGET, tmp_path)
    with pytest.raises(SystemExit) as ended:
        script.check(result.folder.path)
    assert ended.value.code == 3
    assert "NOT CHECKED" in capsys.readouterr().out


def test_an_interrupted_audit_goes_on_in_the_look_where_it_stopped(tmp_path):
    """The server is gone after the first look; what was answered is not asked again, and the end verifies."""
    down = [True]
    with ModelServer(constant, fault=lambda number, _: Reply(401) if down[0] and number > 20 else None) as server:
        one = dataclasses.replace(endpoint(server.url, TASK, limits={"requests": 200}), name="suspect")
        (gone,) = audit_and_report(RANKED, [one], tmp_path, stop_early=True).results
        asked, down[0] = len(server.log), False
        (result,) = audit_and_report(RANKED, [one], tmp_path, stop_early=True).results
    assert gone.error is not None
    sent = [each.queries for each in result.folder.records().each if each.kind == "sent"]
    assert asked < len(sent)
    assert result.verdict.looks.taken > 1
    assert [step.name for step in verify_folder(result.folder) if not step.passed] == []


def test_with_blind_controls_the_same_looks_judge_them(tmp_path):
    """Controls that a third party brings are looked at as often as the suspect, and bear the promise out."""
    controls = {f"c{at}": linear_model(TASK, 2500 + at, distance=3.0)(RANKED.inputs).tolist() for at in range(20)}
    (tmp_path / "blind.json").write_text(json.dumps({"scores": "probability", "models": controls}))
    with ModelServer(TARGET) as server:
        one = dataclasses.replace(endpoint(server.url, TASK), name="suspect")
        (result,) = audit_and_report(
            RANKED, [one], tmp_path / "out", blind=tmp_path / "blind.json", stop_early=True
        ).results
    assert (result.verdict.outcome, result.verdict.looks.taken) == (VerdictOutcome.MATCH, 1)
    assert result.verdict.controls.models == 20
    assert [step for step in verify_folder(result.folder) if not step.passed] == []


def test_batches_end_with_each_look_and_are_paid_for(tmp_path):
    """An endpoint that takes four inputs a request, and a budget of just what all looks need."""
    bundle = RANKED
    with ModelServer(constant) as server:
        one = endpoint(server.url, TASK, batch=4)
        places = len(Schedule.for_bundle(bundle, "0" * 32).numbers)
        needed = one.requests_needed(places, 3)
        one = endpoint(server.url, TASK, batch=4, limits={"requests": needed})
        (result,) = audit_and_report(bundle, [one], tmp_path, stop_early=True).results
        assert (result.verdict.answered, result.verdict.looks.taken) == (24, 3)
        assert needed - 3 <= len(server.log) <= needed


def test_the_command_line_stops_early_and_says_where(tmp_path, capsys):
    """Off by default; what was not asked is said on stderr."""
    RANKED.save(tmp_path / "bundle")
    with ModelServer(TARGET) as server:
        (tmp_path / "endpoints.toml").write_text(table("suspect", server.url))
        words = ["audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "out", "--stop-early"]
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, words)))
    shown = capsys.readouterr()
    assert ended.value.code == 1
    assert "look 1 of 3 was clear" in shown.err
    assert AuditFolder(tmp_path / "out" / "suspect").verdict().looks.taken == 1
