"""A sealed request log that is watched: its newest bundle is asked, and said to be outdated once the log went on."""

from __future__ import annotations

import json
import shutil
from datetime import date

import numpy as np
import pytest

from metav_audit.audit import Grant
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError
from metav_audit.transcript.log import open_log
from metav_audit.verdict import AuditFolder
from metav_audit.watch.asking import open_fleet
from metav_audit.watch.fleet import load_fleet
from tests.audit.test_cli import table
from tests.builders import linear_model, make_task
from tests.logs import make_accounts_bundle, sealed_log
from tests.servers import ModelServer
from tests.watch.test_cli import events, later

TASK = make_task()
TARGET, OTHER = linear_model(TASK, 0), linear_model(TASK, 9, distance=3.0)
FLEET = """
[logs.requests]
log = "log"
bundles = "bundles"
endpoints = "endpoints.toml"
accounts = 2
"""


def requests_of(count: int, seed: int) -> np.ndarray:
    return TASK.domain.sample(count, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A log of two busy accounts on the first of March, and the bundle that was made of it."""
    folder = tmp_path_factory.mktemp("logs")
    log = sealed_log(folder / "log", TASK, TARGET, {"a": requests_of(130, 1), "b": requests_of(120, 2)})
    make_accounts_bundle(log, lineages=50).save(folder / "bundles" / "march.bundle")
    (folder / "endpoints.toml").write_text(table("a", "http://127.0.0.1:9"))
    (folder / "fleet.toml").write_text(FLEET)
    return folder


@pytest.fixture
def desk(standing, tmp_path, monkeypatch):
    """The same, to be changed."""
    shutil.copytree(standing, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seal(desk, day: int, **sent: int):
    """Seal one more day, on which accounts sent so many requests."""
    asked = {name: requests_of(count, 10 * day + at) for at, (name, count) in enumerate(sent.items())}
    return sealed_log(desk / "log", TASK, TARGET, asked, day)


def lags(desk, text=FLEET):
    (desk / "fleet.toml").write_text(text)
    opened = open_fleet(load_fleet(desk / "fleet.toml"), Grant(), date(2026, 4, 1))
    return [lag.kind for lag in opened.logs["requests"].lags()]


def test_the_newest_bundle_of_the_log_is_asked_every_month(desk):
    """Whatever its name; one that was made of another log is none of its own."""
    make_accounts_bundle(seal(desk, 2, a=10), lineages=50).save(desk / "bundles" / "another.bundle")
    strange = sealed_log(desk / "strange", TASK, TARGET, {"z": requests_of(110, 5)}, day=3)
    make_accounts_bundle(strange, lineages=50).save(desk / "bundles" / "zzz.bundle")
    opened = open_fleet(load_fleet(desk / "fleet.toml"), Grant(), date(2026, 4, 1))
    (plan,) = opened.plans
    assert (plan.key, plan.rhythm.every) == ("a/requests", 30 * 86400)
    assert opened.logs["requests"].asked.head == open_log(desk / "log").head
    assert opened.bundles["requests"] is opened.logs["requests"].bundle


def test_a_bundle_keeps_pace_until_a_whole_interval_is_missing(desk):
    """A day more is none; nor is one that another account used little."""
    assert lags(desk) == []
    seal(desk, 9, a=5, c=20)
    assert lags(desk) == []
    assert lags(desk, FLEET + 'every = "8d"\n') == ["days"]


def test_a_log_that_was_falsified_is_not_watched(desk):
    """A row's account altered after the seal: its bundle is none that can be asked."""
    rows = desk / "log" / "days" / "2026-03-01.jsonl"
    rows.write_text(rows.read_text().replace('"account":"a"', '"account":"c"'))
    with pytest.raises(ConfigurationError, match="not those that were sealed"):
        lags(desk)


def test_a_bundle_is_behind_where_another_account_is_among_the_busiest(desk):
    """And has sent enough; a group stands for its members."""
    seal(desk, 2, c=125)
    assert lags(desk) == ["accounts"]
    assert lags(desk, FLEET.replace("accounts = 2", "accounts = 1")) == []


def test_the_month_s_job_finds_a_thief_and_says_what_to_make_anew(desk, capsys):
    """By events, once a month; and what it leaves verifies like any audit."""
    seal(desk, 2, c=125)

    def run(*more):
        with pytest.raises(SystemExit) as end:
            main(["watch", "fleet.toml", *more])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return end.value.code or 0, shown.out.splitlines(), shown.err

    with ModelServer(TARGET) as server:
        (desk / "endpoints.toml").write_text(table("a", server.url))
        assert "requests is outdated: among the 2 accounts" in "".join(run("--dry-run")[1])
        code, lines, told = run()
        assert (code, events(lines)) == (1, [("match", "a"), ("outdated", None)])
        assert [json.loads(line)["name"] for line in lines] == [None, "requests"]
        assert "a (requests): match (8 of 24 queries answered" in told
        assert "logs.requests: among the 2 accounts with the most requests are 'c'" in told
        assert run() == (0, [], "")
        later(desk, 30)
        server.model = OTHER
        code, lines, told = run("--alarm", "outdated")
    assert events(lines) == [("change", "a")]
    assert "with the most requests are 'c'" in told
    folder = min(path.parent for path in desk.glob("evidence/a/*/a/verdict.json"))
    accounts = json.loads((AuditFolder(folder) / "verdict.json").read_text())["accounts"]
    assert [each["name"] for each in accounts] == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"bundles"', '"empty"', "cannot read the bundles' folder"),
        ('"bundles"', '"log"', "holds no bundle that was made of the log"),
        ('"log"', '"bundles"', "is no sealed log"),
        ("accounts = 2", "accounts = 51", "logs.requests.accounts: .*less than or equal to 50"),
        (FLEET, 'name = "nothing"', "it watches nothing"),
        (FLEET, FLEET + '[watches.x]\nendpoints = "endpoints.toml"\nbundles = ["requests"]\n', "a bundle is called so"),
    ],
)
def test_what_is_wrong_is_said(desk, old, new, told):
    """In a line, with what to do."""
    with pytest.raises(ConfigurationError, match=told):
        lags(desk, FLEET.replace(old, new, 1))


def test_a_log_without_its_bundle_stops_no_other_job(desk):
    """It is outdated, and what else is watched goes on."""
    more = '[watches.x]\nendpoints = "endpoints.toml"\nbundles = ["bundles/march.bundle"]\n'
    (desk / "fleet.toml").write_text(FLEET.replace('"log"', '"gone"') + more)
    opened = open_fleet(load_fleet(desk / "fleet.toml"), Grant(), date(2026, 4, 1))
    assert [plan.key for plan in opened.plans] == ["a/march"]
    assert "gone is no sealed log" in opened.outdated["requests"]
    assert opened.unreadable == {"requests"}


def test_a_log_that_was_never_there_is_a_mistyped_path(desk, capsys):
    """It is 2 at once, whatever else is watched; nothing was asked."""
    more = '[watches.x]\nendpoints = "endpoints.toml"\nbundles = ["bundles/march.bundle"]\n'
    (desk / "fleet.toml").write_text(FLEET.replace('"log"', '"nolog"') + more)
    with pytest.raises(SystemExit) as end:
        main(["watch", "fleet.toml"])
    assert end.value.code == 2
    assert "logs.requests.log: there is no log nolog" in capsys.readouterr().err
    assert not (desk / "evidence").exists()
