"""A simulated year: two watchers, swaps, faults, kills, wrong clocks; nothing is lost, doubled or overspent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from metav_audit.watch.budgets import month_of
from metav_audit.watch.database import open_history
from metav_audit.watch.events import QUERY
from metav_audit.watch.glances import QUERIES
from metav_audit.watch.tables import AUDITS, TARGETS
from tests.scale import at_scale
from tests.watch.fleets import DAY, START, WEEK
from tests.watch.year import AHEAD, POOR, STEP, fates, glanced_at

ENDPOINTS, WEEKS = (200, 52) if "WHOLE_YEAR" in os.environ else (at_scale(20, 40), at_scale(9, 28))
"""All of it in ``make test-watch``, which takes a quarter of an hour for each database."""
FAST = Path("/dev/shm")
"""A disk in memory: ten thousand audits wait for no other."""

pytestmark = [pytest.mark.scaled, pytest.mark.timeout(3000)]


@dataclass(frozen=True)
class Year:
    """What the year left."""

    asked: list[dict]
    told: list[dict]
    audits: list[dict]
    events: list[dict]
    counts: dict[str, int]
    folder: Path


@pytest.fixture(scope="module")
def year(databases):
    """Live through it once for each kind of database."""
    with tempfile.TemporaryDirectory(dir=FAST if FAST.is_dir() else None) as name:
        folder = Path(name)
        address = databases.new()
        address = address if "://" in address else str(folder / "watch.sqlite3")
        words = [sys.executable, "-m", "tests.watch.year", address, folder, ENDPOINTS, WEEKS]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        with open_history(address, folder) as history, history.reading() as connection:
            query = sa.select(AUDITS, TARGETS.c.endpoint).join(TARGETS, TARGETS.c.id == AUDITS.c.target)
            audits = [dict(row) for row in connection.execute(query.order_by(AUDITS.c.id)).mappings()]
            events = [dict(row) for row in connection.execute(QUERY).mappings()]
        lines = {name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
                 for name in ("asked", "told")}  # fmt: skip
        yield Year(lines["asked"], lines["told"], audits, events, json.loads(done.stdout), folder)


def test_watchers_were_killed_and_clocks_were_wrong(year):
    """The year is as hard as it says."""
    assert year.counts["killed"] >= at_scale(3, 20)
    assert any(abs(each["clock"] - each["true"]) > WEEK / 7 for each in year.asked)


def test_no_audit_is_doubled(year):
    """Every slot has one audit, and every audit was begun at the endpoint once, whoever was killed meanwhile."""
    slots = Counter((each["target"], each["number"]) for each in year.audits)
    assert set(slots.values()) == {1}
    begun = Counter(each["audit"] for each in year.asked if each["first"])
    assert not [audit for audit, times in begun.items() if times > 1]


def test_no_audit_is_lost(year):
    """From one to the next passes a week, a day of jitter and three runs at most; twice that if a clock was wrong."""
    begun = defaultdict(list)
    for each in year.asked:
        if each["host"] != "poor" and each["first"]:
            begun[each["endpoint"]].append(each["true"])
    assert len(begun) == ENDPOINTS - ENDPOINTS // 20
    for endpoint, moments in begun.items():
        for one, other in pairwise(sorted(moments)):
            weeks = range(int((one - START) // WEEK) - 1, int((other - START) // WEEK) + 1)
            wrong = any(week % 13 == 6 or week % 26 == 20 for week in weeks)
            assert other - one <= (1 + wrong) * (WEEK + DAY) + 3 * STEP, (endpoint, one, other)
        assert max(moments) > START + (WEEKS - 1) * WEEK


def test_only_a_clock_that_runs_ahead_gives_an_audit_up(year):
    """Whoever is killed is followed in time; weeks ahead, the slot of what was begun is over."""
    given_up = [each for each in year.audits if each["status"] == "dropped"]
    assert all(ahead(each["claimed"]) or ahead(each["ended"]) for each in given_up)
    assert len(given_up) <= len(year.audits) / 100


def ahead(moment):
    """Whether this is what the clock showed that ran ahead."""
    return int((moment - AHEAD - START) // WEEK) % 26 == 20


def test_no_budget_is_exceeded(year):
    """In no month of any watcher's clock did the poor host get more requests than it may."""
    sent = Counter()
    for each in year.asked:
        if each["host"] == "poor":
            sent[month_of(each["clock"])] += each["requests"]
    assert sent
    assert max(sent.values()) <= POOR.requests
    assert any(each["kind"] == "budget" for each in year.events)


def test_every_swap_is_told_once_and_soon(year):
    """By the first audit that one model answered after it, or the second; nothing else is told as a change."""
    fate = fates(ENDPOINTS, WEEKS)
    delays, false = Counter(), []
    changes = defaultdict(list)
    for event in year.events:
        if event["kind"] == "change":
            changes[event["endpoint"]].append(event["audit"])
    moments = {each["audit"]: each["true"] for each in year.asked}
    for number, each in enumerate(fate):
        endpoint = f"e{number:03}"
        own = [audit for audit in year.audits if audit["endpoint"] == endpoint]
        done = [audit["id"] for audit in own if audit["status"] in ("done", "glanced")]
        told = list(changes[endpoint])
        for at, until in pairwise((*each.swaps, float("inf"))):
            since = [audit for audit in done if at <= moments[audit] < until]
            mine = [audit for audit in told if audit in since]
            if since:
                assert len(mine) == 1, (endpoint, at, mine)
                delays[since.index(mine[0]) + 1] += 1
                told.remove(mine[0])
        false += told
    assert len(false) <= len(year.audits) / 1000
    assert delays
    assert set(delays) <= {1, 2}


def test_glances_spare_audits_and_seldom_ask_for_one_in_vain(year):
    """Where nothing moves, four in five are glances; false alarms of a glance cost an audit, and are no event."""
    few = [each for each in year.audits if int(each["endpoint"][1:]) in glanced_at(ENDPOINTS)]
    glanced = [each for each in few if each["status"] == "glanced"]
    assert len(glanced) >= 0.5 * len(few)
    assert all(each["requests"] <= QUERIES + 1 for each in glanced)


def test_every_event_is_told_at_least_once_and_under_one_id(year):
    """Some receivers were busy and some watchers died while they told: whoever looks at ids hears all of it once."""
    told = {each["id"] for each in year.told}
    assert {each["uid"] for each in year.events if each["at"] < START + (WEEKS - 1) * WEEK} <= told
    messages = defaultdict(set)
    for each in year.told:
        messages[each["id"]].add(each["message"])
    assert all(len(each) == 1 for each in messages.values())


def test_endpoints_that_are_down_are_lost_and_recover(year):
    """Weeks of silence are one event, and so is their end."""
    kinds = Counter(each["kind"] for each in year.events)
    assert kinds["lost"] >= 1
    assert 0 <= kinds["lost"] - kinds["recovered"] <= ENDPOINTS / 10
