"""What an audit showed: read from a real folder, kept in a row, and the same again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from metav_audit.errors import EvidenceError
from metav_audit.verdict import AuditFolder
from metav_audit.watch.budgets import spent_in
from metav_audit.watch.enrolment import enrol
from metav_audit.watch.fleet import Budget
from metav_audit.watch.gauges import write_gauge_file
from metav_audit.watch.history import audit_seen, standings
from metav_audit.watch.outcomes import finish
from metav_audit.watch.sighting import Sighting
from metav_audit.watch.tables import AUDITS
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder
from tests.watch.fleets import PATIENCE, START, plan
from tests.watch.test_claims import TELLER, claim, done, failed

TASK = make_task()


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """An audit of which two queries were not answered."""
    path = tmp_path_factory.mktemp("audit") / "suspect"
    return Sighting.of(AuditFolder(make_folder(path, linear_model(TASK, 0), unanswered=(1, 3))).decide())


def test_a_folder_s_sighting_is_what_its_verdict_says(seen):
    """And what its verdict does not say: answers by query, latency, names."""
    bundle = make_bundle()
    assert (seen.bundle_sha256, seen.queries, seen.answered) == (
        bundle.sha256,
        len(bundle.inputs),
        len(bundle.inputs) - 2,
    )
    assert np.isnan(seen.answers).all(axis=1).tolist() == [number in (1, 3) for number in range(len(bundle.inputs))]
    assert np.allclose(seen.answers[0], bundle.reference[0], atol=1e-5)
    assert (seen.latency, seen.identities, seen.steady) == (0.25, {"server": ("uvicorn",)}, True)


def test_a_row_gives_the_same_sighting_back(history, seen):
    """Bit by bit."""
    made = plan()
    enrol(history, [made], START)
    held = claim(history, made, START)
    assert finish(history, held.audit, held.token, seen, made.budgets, PATIENCE, START, TELLER)
    _, again = audit_seen(history, held.audit)
    for field in dataclasses.fields(Sighting):
        one, other = getattr(seen, field.name), getattr(again, field.name)
        assert np.array_equal(one, other, equal_nan=True) if field.name == "answers" else one == other, field.name


@pytest.mark.parametrize("column", [{"answers": b"no"}, {"sighting": "{}"}, {"sighting": "no"}, {"outcome": "perhaps"}])
def test_a_row_that_is_damaged_is_an_error_of_ours(history, column):
    """Not a fault."""
    made = plan()
    enrol(history, [made], START)
    held = claim(history, made, START)
    done(history, held, START)
    with history.writing() as connection:
        connection.execute(sa.update(AUDITS).values(column))
    with pytest.raises(EvidenceError, match="audit 1 of the history is damaged"):
        audit_seen(history, held.audit)


def test_the_gauges_say_how_every_endpoint_stands(history, tmp_path):
    """In Prometheus's own words: the last verdict, what is lost, events, budgets."""
    fleet = [plan(f"e{number}", of_fleet=Budget(requests=500)) for number in range(2)]
    enrol(history, fleet, START)
    done(history, claim(history, fleet[0], START), START + 9, score=0.25)
    for hours in (0, 2, 4):
        failed(history, claim(history, fleet[1], START + 3600 * hours), START + 3600 * hours)
    budgets = fleet[0].budgets
    with history.reading() as connection:
        spent = spent_in(connection, "2026-01", budgets)
    write_gauge_file(tmp_path / "watch.prom", standings(history), spent, budgets, START + 99)
    found = {
        (sample.name.removeprefix("metav_audit_watch_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families((tmp_path / "watch.prom").read_text())
        for sample in family.samples
    }
    assert found["outcome", "digits", "e0", "no_match"] == 1
    assert found["outcome", "digits", "e1", "failed"] == 1
    assert found["score", "digits", "e0"] == 0.25
    assert found["last_audit_timestamp_seconds", "digits", "e0"] == START + 9
    assert (found["budget", "fleet", "requests"], found["budget_spent", "fleet", "requests"]) == (500, 54)
    assert found["lost", "digits", "e1"] == 0
