"""Slots, leases and budgets in the database: what one watcher has, no other takes, and nothing is sent unpaid."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from datetime import UTC

import pytest
import sqlalchemy as sa

from metav_audit.errors import ConfigurationError, RemoteError
from metav_audit.watch.budgets import spent_in
from metav_audit.watch.claims import renew, take, waiting
from metav_audit.watch.due import Rhythm
from metav_audit.watch.enrolment import enrol
from metav_audit.watch.events import QUERY, Teller
from metav_audit.watch.fleet import KINDS, Budget
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.outcomes import fail, finish
from metav_audit.watch.run import World, run_due
from metav_audit.watch.tables import AUDITS, TARGETS
from tests.watch.fleets import DAY, PATIENCE, START, WEEK, plan, sighting

TELLER = Teller({"stdout": frozenset(KINDS)})


def drawn():
    """Digits that nobody has drawn before."""
    counter = itertools.count(1)
    return lambda: f"{next(counter):032x}"


DRAW = drawn()


def claim(history, what, now, sent=0):
    return take(history, what, PATIENCE, now, DRAW, lambda folder: sent, TELLER)


def done(history, held, now, **more):
    return finish(history, held.audit, held.token, sighting(**more), held.plan.budgets, PATIENCE, now, TELLER)


def failed(history, held, now, sent=4):
    return fail(history, held.audit, held.token, "HTTP 503", sent, PATIENCE, now, TELLER)


def audits(history):
    with history.reading() as connection:
        return connection.execute(sa.select(AUDITS).order_by(AUDITS.c.id)).mappings().all()


def kinds(history):
    with history.reading() as connection:
        return [row["kind"] for row in connection.execute(QUERY).mappings()]


@pytest.fixture
def a(history):
    """A plan that is enrolled."""
    made = plan()
    enrol(history, [made], START)
    return made


def test_a_new_endpoint_is_due_at_once_and_then_a_week_later(history, a):
    """The slots stay where they are, however late a run is; a job that begins a second early finds it due."""
    assert done(history, claim(history, a, START), START + 60)
    assert claim(history, a, START + 6 * DAY) is None
    assert done(history, claim(history, a, START + WEEK - 1), START + WEEK)
    late = claim(history, a, START + 2 * WEEK + 2 * DAY)
    assert done(history, late, START + 2 * WEEK + 2 * DAY)
    assert claim(history, a, START + 3 * WEEK) is not None
    assert [each["number"] for each in audits(history)] == [1, 2, 3, 4]


def test_missed_slots_are_not_made_up_for(history, a):
    """After a month without a run there is one audit, and the next a week later."""
    done(history, claim(history, a, START), START)
    done(history, claim(history, a, START + 30 * DAY), START + 30 * DAY)
    assert claim(history, a, START + 31 * DAY) is None
    assert claim(history, a, START + 35 * DAY) is not None


def test_what_is_claimed_is_nobody_else_s_until_the_lease_ends(history, a):
    """Then another goes on with the same audit; the first one's outcome no longer counts."""
    first = claim(history, a, START)
    assert claim(history, a, START + 599) is None
    second = claim(history, a, START + 601)
    assert (second.audit, second.folder) == (first.audit, first.folder)
    assert done(history, first, START + 700) is False
    assert done(history, second, START + 700) is True
    assert [each["status"] for each in audits(history)] == ["done"]


def test_a_lease_that_is_renewed_lasts(history, a):
    """As long as its watcher lives."""
    first = claim(history, a, START)
    renew(history, [first.token], PATIENCE.lease, START + 500)
    assert claim(history, a, START + 1000) is None


def test_two_at_once_take_each_slot_once(databases, history, tmp_path):
    """Forty endpoints and four watchers in threads: every endpoint is audited once, by one of them."""
    fleet = [plan(f"e{number}") for number in range(40)]
    enrol(history, fleet, START)
    asked, errors = [], []

    def watch():
        world = World(lambda: START, drawn_by_chance, lambda held: asked.append(held) or sighting(), lambda folder: 0)
        try:
            run_due(history, fleet, world, PATIENCE, TELLER)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(held.plan.endpoint for held in asked) == sorted(each.endpoint for each in fleet)


def drawn_by_chance():
    import secrets

    return secrets.token_hex(16)


def test_a_clock_that_was_ahead_puts_nothing_off_for_long(history, a):
    """A run of next year, and then one of today: the next is a week from now, and not in a year."""
    done(history, claim(history, a, START + 365 * DAY), START + 365 * DAY)
    assert claim(history, a, START) is None
    assert claim(history, a, START + 6 * DAY) is None
    assert claim(history, a, START + WEEK) is not None


def test_a_lease_of_a_clock_that_was_ahead_ends_soon(history, a):
    """Whoever held it died with its clock."""
    held = claim(history, a, START + 100 * DAY)
    assert claim(history, a, START) is None
    again = claim(history, a, START + 601)
    assert again.audit == held.audit


def test_a_failed_audit_is_tried_again_within_its_slot(history, a):
    """In later runs, an hour apart at least; after three tries it has failed, and a second one in a row is a loss."""
    for number in (0, 1):
        start = START + number * WEEK
        for hours in (0, 2, 4):
            held = claim(history, a, start + hours * 3600)
            assert claim(history, a, start + hours * 3600 + 60) is None
            failed(history, held, start + hours * 3600 + 30)
        assert kinds(history) == ["lost"] * number
    assert [(each["status"], each["tries"], each["error"]) for each in audits(history)] == [
        ("failed", 3, "HTTP 503")
    ] * 2
    done(history, claim(history, a, START + 2 * WEEK), START + 2 * WEEK)
    assert kinds(history) == ["lost", "recovered"]


def test_what_fails_until_its_slot_is_over_has_failed(history, a):
    """The next slot gets an audit of its own."""
    failed(history, claim(history, a, START), START)
    fresh = claim(history, a, START + WEEK)
    assert [each["status"] for each in audits(history)] == ["failed", "open"]
    assert fresh.audit == audits(history)[1]["id"]


def test_a_fault_of_this_side_is_no_try(history, a):
    """A variable that is not set says nothing of the endpoint."""

    def ask(held):
        raise ConfigurationError("the environment variable TOKEN is not set")

    world = World(lambda: START, DRAW, ask, lambda folder: 0)
    (became,) = run_due(history, [a], world, PATIENCE, TELLER)
    assert became.error.exit_code == 2
    assert [(each["status"], each["tries"]) for each in audits(history)] == [("open", 0)]


def test_what_is_quiet_is_not_asked(history, a):
    """Until the hours are over."""
    quiet = replace(a, quiet=QuietHours.of(["00:00-06:00"], UTC))
    asked = []
    for now in (START + 3600, START + 7 * 3600):
        world = World(lambda now=now: now, DRAW, lambda held: asked.append(held) or sighting(), lambda folder: 0)
        run_due(history, [quiet], world, PATIENCE, TELLER)
        assert len(asked) == (now > START + 6 * 3600)


def test_one_endpoint_s_trouble_is_no_other_s(history):
    """The rest of the fleet is audited."""

    def ask(held):
        if held.plan.endpoint == "e1":
            raise RemoteError("HTTP 503")
        return sighting()

    fleet = [plan(f"e{number}", host=f"h{number}") for number in range(3)]
    became = run_due(history, fleet, World(lambda: START, DRAW, ask, lambda folder: 4), PATIENCE, TELLER)
    assert sorted((each.claim.plan.endpoint, each.error is None) for each in became) == [
        ("e0", True), ("e1", False), ("e2", True),
    ]  # fmt: skip


def spent(history, scope, month="2026-01"):
    with history.reading() as connection:
        return next((each.requests for each in spent_in(connection, month) if each.scope == scope), 0)


def test_requests_are_put_by_before_they_are_sent_and_settled_after(history):
    """The ceiling first, then what was sent."""
    made = plan(of_fleet=Budget(requests=1000))
    enrol(history, [made], START)
    held = claim(history, made, START)
    assert (held.granted, spent(history, "fleet")) == (200, 200)
    done(history, held, START, requests=57)
    assert spent(history, "fleet") == spent(history, "host:host") == spent(history, "bundle:digits") == 57


@pytest.mark.parametrize("scope", ["of_fleet", "of_host", "of_bundle"])
def test_an_audit_takes_no_more_than_every_budget_leaves(history, scope):
    """What is left is its ceiling; what does not pay for all of it pays for none, and is told once a month.

    What is put by for an audit under way may come back: it is not told as spent.
    """
    fleet = [plan(f"e{number}", **{scope: Budget(requests=120)}) for number in range(3)]
    enrol(history, fleet, START)
    first = claim(history, fleet[0], START)
    assert first.granted == 120
    assert claim(history, fleet[1], START) is None
    done(history, first, START, requests=60)
    second = claim(history, fleet[1], START)
    assert second.granted == 60
    assert claim(history, fleet[2], START) is None
    assert kinds(history) == []
    done(history, second, START, requests=60)
    for _ in range(2):
        assert claim(history, fleet[2], START) is None
    assert kinds(history) == ["budget", "budget"]  # All of it is spent; and it pays for no audit any more.
    assert claim(history, fleet[2], START + 31 * DAY) is not None


def test_money_is_a_budget_too(history):
    """A price in millionths, never rounded down."""
    made = plan(price=33_334, of_fleet=Budget(cost=4.0))
    enrol(history, [made], START)
    assert claim(history, made, START).granted == 119


def test_a_budget_near_its_end_is_told_once(history):
    """At four fifths of what was sent."""
    fleet = [plan(f"e{number}", of_host=Budget(requests=250)) for number in range(4)]
    enrol(history, fleet, START)
    for number, each in enumerate(fleet):
        done(history, claim(history, each, START), START, requests=55)
        assert kinds(history) == ["budget"] * (number == 3)


def test_an_audit_that_goes_on_next_month_is_paid_for_by_both(history):
    """What was sent before counts where it was sent, and the rest is put by anew."""
    made, late = plan(of_fleet=Budget(requests=130)), START + 31 * DAY - 60
    enrol(history, [made], late)
    held = claim(history, made, late)
    assert held.granted == 130
    again = claim(history, made, late + 1000, sent=40)
    assert (spent(history, "fleet"), spent(history, "fleet", "2026-02")) == (40, 90)
    done(history, again, late + 1100, requests=65)
    assert (spent(history, "fleet"), spent(history, "fleet", "2026-02")) == (40, 25)


def test_what_was_never_sent_for_sure_is_not_given_back(history):
    """Where no transcript tells, all that was granted counts as sent."""
    made = plan(of_fleet=Budget(requests=1000))
    enrol(history, [made], START)
    claim(history, made, START)
    take(history, made, PATIENCE, START + WEEK, DRAW, lambda folder: None, TELLER)
    assert spent(history, "fleet") == 400


def test_those_that_wait_longest_come_first(history):
    """And those that are not due do not come."""
    fleet = [plan(f"e{number}", rhythm=Rhythm(WEEK)) for number in range(3)]
    enrol(history, fleet, START)
    for number, each in enumerate(fleet[:2]):
        done(history, claim(history, each, START + number * DAY), START + number * DAY)
    with history.writing() as connection:
        connection.execute(TARGETS.update().where(TARGETS.c.endpoint == "e1").values(slot=START + WEEK - DAY))
    assert [each.endpoint for each in waiting(history, fleet, START + WEEK)] == ["e2", "e1", "e0"]
