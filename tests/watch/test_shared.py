"""What an outsider tripped over: fleets that share a database, budgets that all share, and what nobody was shown."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import sqlalchemy as sa

from metav_audit.cli.watch import corrected
from metav_audit.errors import RemoteError
from metav_audit.verdict import VerdictOutcome
from metav_audit.watch import database
from metav_audit.watch.budgets import spent_in
from metav_audit.watch.claims import take
from metav_audit.watch.database import open_history
from metav_audit.watch.enrolment import adopt, enrol, last_audit_with
from metav_audit.watch.fleet import Budget
from metav_audit.watch.history import discoveries, happened, standings, untaken
from metav_audit.watch.page.build import file_name
from metav_audit.watch.page.timeline import timeline
from metav_audit.watch.run import Done
from metav_audit.watch.tables import EVENTS, TARGETS
from tests.watch.fleets import PATIENCE, START, WEEK, plan, sighting
from tests.watch.test_claims import DRAW, TELLER, audits, claim, done, failed
from tests.watch.test_cli import FLEET, later, run  # noqa: F401
from tests.watch.test_telling import There, happen, tell


def test_two_fleets_share_a_database_and_see_nothing_of_each_other(databases, tmp_path):
    """The same endpoint and bundle, budgets, events and messages: each fleet has its own."""
    address = databases.new()
    with open_history(address, tmp_path, fleet="one") as one, open_history(address, tmp_path, fleet="two") as two:
        mine = plan(of_fleet=Budget(requests=250))
        for history in (one, two):
            enrol(history, [mine], START)
            assert done(history, claim(history, mine, START), START + 60, requests=100)
            with history.reading() as connection:
                assert [each.requests for each in spent_in(connection, "2026-01", {"fleet": Budget()})] == [100]
        enrol(two, [], START)
        assert [each.watched for each in standings(one)] == [True]
        assert [each.watched for each in standings(two)] == [False]
        happen(one, "budget")
        theirs, ours = There(), There()
        tell(two, theirs)
        tell(one, ours)
        assert ([len(each.taken) for each in (theirs, ours)], happened(two)) == ([0, 1], [])


def test_rows_of_before_fleets_had_names_are_taken_over_once(databases, tmp_path):
    """By whoever comes first; nothing is audited anew for it."""
    address = databases.new()
    with open_history(address, tmp_path) as unnamed:
        enrol(unnamed, [plan()], START)
        happen(unnamed, "budget")
    with open_history(address, tmp_path, fleet="one") as one, open_history(address, tmp_path, fleet="two") as two:
        for history in (one, two):
            adopt(history)
        assert [(len(standings(each)), len(happened(each))) for each in (one, two)] == [(1, 1), (0, 0)]


def test_an_old_history_is_migrated_with_all_that_refers_to_it(databases, tmp_path, monkeypatch):
    """Tables of the first version, with an audit in them: the targets' table is made anew beneath it."""
    address, script = databases.new(), database._migrations()
    with monkeypatch.context() as before:
        before.setattr(script, "get_current_head", lambda: "0001")
        before.setattr(script, "_upgrade_revs", partial(_only_first, script))
        before.setattr(database, "_migrations", lambda: script)
        with open_history(address, tmp_path) as history, history.writing() as connection:
            connection.execute(
                sa.text("INSERT INTO targets VALUES (1, 'a', 'digits', 'u', 'h', 0, 1, NULL, 0, FALSE, 0, NULL)")
            )
            connection.execute(sa.text(
                "INSERT INTO audits (id, target, number, status, until, tries, granted, price, claimed, folder, "
                "evidence, url, bundle_sha256) VALUES (1, 1, 1, 'failed', 0, 1, 9, 0, 0, 'f', 'folder', 'u', 'h')"
            ))  # fmt: skip
    with open_history(address, tmp_path) as history:
        (standing,) = standings(history)
        assert (len(standing.audits), standing.watched) == (1, True)
        if history.engine.dialect.name == "sqlite":
            with history.reading() as connection:
                assert connection.execute(sa.text("PRAGMA foreign_key_check")).all() == []
                assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1


def _only_first(script, _, current):
    return type(script)._upgrade_revs(script, "0001", current)


def test_the_first_in_a_run_leaves_the_others_what_they_need(history):
    """A ceiling of 200 each, and a budget of 160: three audits of 50 are all paid for."""
    plans = [plan(name, host=name, of_fleet=Budget(requests=160)) for name in "abc"]
    enrol(history, plans, START)
    granted = []
    for at, each in enumerate(plans):
        held = take(history, each, PATIENCE, START, DRAW, lambda _: 0, TELLER, plans[at + 1 :])
        granted.append(held.granted)
    assert granted == [60, 50, 50]


def test_money_is_shared_likewise(history):
    """At 2 a request a budget of 220 pays for two audits of 50 and ten retries."""
    plans = [plan(name, host=name, price=2_000_000, of_fleet=Budget(cost=220.0)) for name in "ab"]
    enrol(history, plans, START)
    held = take(history, plans[0], PATIENCE, START, DRAW, lambda _: 0, TELLER, plans[1:])
    assert held.granted == 60


def test_who_is_watched_no_more_is_not_shown_as_watched(history):
    """Nor is who waits for a bundle that cannot be read; who comes back is watched again, with its past."""
    plans = [plan("a"), plan("b", bundle="lesions"), plan("c")]
    enrol(history, plans, START)
    enrol(history, [plans[0]], START, waiting={"lesions"})
    assert [each.watched for each in standings(history)] == [True, True, False]
    enrol(history, plans, START)
    assert [each.watched for each in standings(history)] == [True, True, True]


def test_an_endpoint_that_cannot_be_asked_is_shown_before_its_round_is_over(history):
    """The first try failed, and two more will follow."""
    enrol(history, [plan()], START)
    assert failed(history, claim(history, plan(), START), START)
    (standing,) = standings(history)
    assert (standing.state, standing.failing) == ("failing", "HTTP 503")


def test_why_a_verdict_is_inconclusive_is_kept(history):
    """In a line, beside the audit."""
    enrol(history, [plan()], START)
    why = "such a score is usual among derived and independent models alike"
    done(history, claim(history, plan(), START), START + 60, outcome=VerdictOutcome.INCONCLUSIVE, why=why)
    (standing,) = standings(history)
    assert standing.last.why == why


def test_a_message_that_was_not_taken_is_shown(history):
    """Until it is."""
    happen(history, "match")
    assert tell(history, There(busy=True))
    assert [(each.channel, each.tries, each.error) for each in untaken(history)] == [("there", 1, "it is busy")]
    tell(history, There(), START + WEEK)
    assert untaken(history) == []
    assert issubclass(RemoteError, Exception)


def test_a_bundle_that_is_missing_again_is_told_again(run, tmp_path):  # noqa: F811
    """Not while it stays away, but once it was there and audited with in between."""
    from tests.audit.test_cli import BUNDLE, TARGET, table
    from tests.servers import ModelServer

    (tmp_path / "fleet.toml").write_text(FLEET.replace("toy.bundle", 'toy.bundle", "second.bundle'))
    with ModelServer(TARGET) as ours:
        (tmp_path / "endpoints.toml").write_text(table("ours", ours.url))
        told = []
        for night in range(5):
            later(tmp_path) if night else None
            if night == 2:
                replace(BUNDLE, name="second").save(tmp_path / "second.bundle")
            if night == 3:
                (tmp_path / "second.bundle").rename(tmp_path / "away")
            _, lines, _ = run("watch", "fleet.toml")
            told.append(sum('"outdated"' in line for line in lines))
    assert told == [1, 0, 0, 1, 0]
    _, lines, _ = run("history", "fleet.toml")
    assert sum(" outdated: second: " in line for line in lines) == 2


def test_an_endpoint_counts_once_by_its_last_audit(history):
    """However often it was audited; whoever is watched no more does not count."""
    plans = [plan(name, host=name) for name in "abc"]
    enrol(history, plans, START)
    for each, p in zip(plans, (0.02, 0.5, 0.01), strict=True):
        done(history, claim(history, each, START), START + 60, p_value=0.9)
        done(history, claim(history, each, START + WEEK), START + WEEK, p_value=p)
    enrol(history, plans[:2], START)
    assert sorted(discoveries(standings(history)).values()) == [0.04, 0.5]


def test_a_run_corrects_its_matches_for_all_its_audits(history):
    """By Holm's rule: two audits, one match."""
    plans = [plan(name, host=name) for name in "ab"]
    enrol(history, plans, START)
    seen = [sighting(outcome=VerdictOutcome.MATCH, p_value=0.02), sighting(p_value=0.6)]
    made = [Done(claim(history, each, START), one, None) for each, one in zip(plans, seen, strict=True)]
    assert list(corrected(made)) == ["a (digits): a match's p, corrected for 2 audits of this run: 0.04"]
    assert list(corrected(made[:1])) == []


def test_names_that_join_alike_have_pages_of_their_own(history):
    """A page is one endpoint's."""
    plans = [plan("a--b", bundle="c"), plan("a", bundle="b--c"), plan("a-", bundle="b"), plan("a", bundle="-b")]
    enrol(history, plans, START)
    assert len({file_name(each) for each in standings(history)}) == 4


def test_ticks_of_an_hour_say_the_time(history):
    """Two audits of one day are no two days apart."""
    enrol(history, [plan()], START)
    done(history, claim(history, plan(), START), START + 60)
    (standing,) = standings(history)
    drawn = str(timeline(standing.audits, [], "scores"))
    assert "01 Jan 00:01" in drawn
    assert "01 Jan 01:01" in drawn


def test_the_last_audit_with_a_bundle_is_its_fleet_s(history):
    """None before the first."""
    enrol(history, [plan()], START)
    with history.reading() as connection:
        assert last_audit_with(connection, "digits") == 0
    done(history, claim(history, plan(), START), START + 60)
    with history.reading() as connection:
        assert last_audit_with(connection, "digits") == audits(history)[0]["id"]
        assert connection.execute(sa.select(TARGETS.c.fleet)).scalar_one() == ""
        assert connection.execute(sa.select(sa.func.count()).select_from(EVENTS)).scalar_one() == 0
