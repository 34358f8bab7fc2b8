"""A fleet opened: what is wrong with files that it names is said before anything is sent."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from datetime import date

import pytest

from metav_audit.audit import Grant
from metav_audit.config import PASSPHRASE
from metav_audit.errors import ConfigurationError, RemoteError
from metav_audit.evidence import make_key
from metav_audit.verdict import AuditFolder
from metav_audit.watch.asking import Auditor, open_fleet
from metav_audit.watch.enrolment import enrol
from metav_audit.watch.events import Teller
from metav_audit.watch.fleet import load_fleet
from metav_audit.watch.outbox import Message
from metav_audit.watch.patience import Patience
from metav_audit.watch.run import World, run_due
from tests.audit.test_cli import BUNDLE, FAR, table
from tests.servers import ModelServer
from tests.watch.fleets import START, plan, sighting
from tests.watch.test_claims import PATIENCE, audits, drawn
from tests.watch.test_cli import FLEET, run  # noqa: F401 - a fixture
from tests.watch.test_telling import EVENT

TELLER = Teller({})
TODAY = date(2026, 6, 1)


@pytest.fixture
def opened(tmp_path):
    """Open a fleet file's text beside a bundle and an endpoint."""
    BUNDLE.save(tmp_path / "toy.bundle")
    (tmp_path / "endpoints.toml").write_text(table("a", "http://127.0.0.1:9"))

    def call(text, endpoints=None):
        (tmp_path / "fleet.toml").write_text(text)
        if endpoints is not None:
            (tmp_path / "endpoints.toml").write_text(endpoints)
        return open_fleet(load_fleet(tmp_path / "fleet.toml"), Grant(), TODAY)

    return call


def test_every_endpoint_is_planned_with_every_bundle(opened, tmp_path):
    """With its host, its price, and what an audit needs."""
    BUNDLE.save(tmp_path / "other.bundle")
    found = opened(FLEET.replace('"toy.bundle"', '"toy.bundle", "other.bundle"'))
    assert [each.key for each in found.plans] == ["a/toy", "a/other"]
    assert (found.plans[0].host, found.plans[0].needed, found.plans[0].ceiling) == ("127.0.0.1:9", 24, 96)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FLEET + 'only = ["b"]\n', "watches.ours.only: .* has no endpoint 'b'"),
        (FLEET + FLEET.replace("ours", "more"), "endpoint 'a' is asked bundle 'toy' twice"),
        (FLEET.replace("toy", "no"), "no bundle can be read"),
        (FLEET.replace('"toy.bundle"', '"toy.bundle", "x/toy.bundle"'), "two bundles are called 'toy'"),
    ],
)
def test_what_is_wrong_is_said(opened, text, told):
    """In a line."""
    with pytest.raises(ConfigurationError, match=told):
        opened(text)


def test_a_bundle_is_outdated_after_its_day(opened):
    """And is asked nevertheless: what it says is still true of the model that it was made for."""
    text = FLEET.replace("toy.bundle", "toy") + '[bundles.toy]\npath = "toy.bundle"\ngood_until = 2026-05-31\n'
    found = opened(text)
    assert found.outdated == {"toy": "the bundle was good until 2026-05-31: fit it again"}
    assert len(found.plans) == 1
    assert not opened(text.replace("05-31", "06-01")).outdated


def test_requests_are_counted_from_the_transcript(opened, tmp_path):
    """None where nothing tells, 0 where nothing was sent, as many as were sent elsewhere."""
    auditor = Auditor(opened(FLEET), tmp_path / "evidence", lambda _: None)
    assert auditor.sent("a/x/a") is None
    folder = tmp_path / "evidence/a/x/a"
    folder.mkdir(parents=True)
    assert auditor.sent("a/x/a") == 0
    (folder / "transcript.jsonl").write_text("no\n")
    assert auditor.sent("a/x/a") is None


def test_audits_are_sealed_as_the_endpoint_file_says(run, tmp_path, monkeypatch):  # noqa: F811
    """By the key of its table [operator]."""
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    key = make_key(tmp_path / "key.pem", os.environ)
    with ModelServer(FAR) as server:
        (tmp_path / "endpoints.toml").write_text('[operator]\nkey = "key.pem"\n' + table("a", server.url))
        assert run("watch", "fleet.toml")[0] == 0
    (sealed,) = tmp_path.glob("evidence/a/*/a/seal.json")
    assert AuditFolder(sealed.parent).transcript().operator["key_id"] == key.key_id


def test_a_run_leaves_gauges(run, tmp_path):  # noqa: F811
    """Where the fleet file names a file for them; and a spent budget is an event."""
    text = FLEET + '[notify.metrics]\nkind = "prometheus"\npath = "watch.prom"\n[budgets]\nrequests = 10\n'
    (tmp_path / "fleet.toml").write_text(text)
    (tmp_path / "endpoints.toml").write_text(table("a", "http://127.0.0.1:9"))
    code, lines, _ = run("watch", "fleet.toml", "--alarm", "budget")
    assert (code, [json.loads(line)["kind"] for line in lines]) == (1, ["budget"])
    assert 'metav_audit_watch_budget{scope="fleet",unit="requests"} 10' in (tmp_path / "watch.prom").read_text()
    assert "not audited yet" in run("history", "fleet.toml")[1][0]
    with closing(sqlite3.connect(tmp_path / "watch.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM audits").fetchone() == (0,)


def test_a_claim_is_renewed_while_its_audit_lasts(history):
    """By a thread of its own, in time."""
    made, patience = plan(), Patience(lease=0.3, retry=1.0, tries=1, lost_after=1, warn=0.8)
    enrol(history, [made], START)
    moments, renewed = iter(range(10**9)), threading.Event()

    def ask(held):
        first = audits(history)[0]["until"]
        while audits(history)[0]["until"] <= first:
            renewed.wait(0.01)
        return sighting()

    world = World(lambda: START + next(moments), drawn(), ask, lambda folder: 0)
    (became,) = run_due(history, [made], world, patience, TELLER)
    assert became.seen is not None


def test_a_fault_in_one_thread_ends_the_run(history):
    """It is nobody's verdict, and not swallowed."""

    def ask(held):
        raise ZeroDivisionError

    fleet = [plan(f"e{number}", host=f"h{number}") for number in range(3)]
    with pytest.raises(ZeroDivisionError):
        run_due(history, fleet, World(lambda: START, drawn(), ask, lambda folder: 0), PATIENCE, TELLER)


def test_an_audit_that_another_took_over_counts_for_the_other(history):
    """Its outcome is not written twice."""
    made = plan()
    enrol(history, [made], START)
    world = World(lambda: START + 10_000, drawn(), lambda held: sighting(), lambda folder: 0)

    def slow(held):
        run_due(history, [made], world, PATIENCE, TELLER)
        return sighting()

    late = World(lambda: START, drawn(), slow, lambda folder: 0)
    (became,) = run_due(history, [made], late, PATIENCE, TELLER)
    assert (became.seen, became.error) == (None, None)
    assert [each["status"] for each in audits(history)] == ["done"]


def test_a_message_for_slack_is_not_endless():
    """Fifty lines, and how many more there are."""
    from metav_audit.watch.channels import _slack

    lines = _slack(Message("m", START, (EVENT,) * 60))["text"].splitlines()
    assert (len(lines), lines[-1]) == (51, "… and 10 more")


def test_an_error_is_a_remote_one_where_the_database_is_gone(history):
    """It is one line."""
    with history.writing() as connection:
        connection.exec_driver_sql("DROP TABLE outbox")
        connection.exec_driver_sql("ALTER TABLE gate RENAME TO door")
    with pytest.raises(RemoteError, match="cannot be used"), history.writing():
        pass
