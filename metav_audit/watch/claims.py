"""Claims: whoever audits takes the slot in the database first, for a while; who was killed is followed by another.

Every step is one transaction that no other writer enters, so two watchers never take the same slot, and what an audit
may send is put by before its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from metav_audit.watch.budgets import left_in, month_of, put_by, spent_in, standing
from metav_audit.watch.database import History
from metav_audit.watch.enrolment import Plan, is_target
from metav_audit.watch.events import Teller
from metav_audit.watch.outcomes import close_failed, reference_of
from metav_audit.watch.patience import Patience
from metav_audit.watch.sighting import Sighting
from metav_audit.watch.tables import AUDITS, TARGETS


@dataclass(frozen=True, slots=True)
class Claim:
    """An audit that is this program's to make, for now.

    Attributes:
        audit: its number in the history.
        target: its target's.
        token: proves whose it is.
        folder: of its evidence, below the folder of all evidence.
        granted: requests that it may send at most, over all runs.
        plan: what is audited.
        earlier: audits with its bundle that stand before it in the history.
        reference: what is glanced at first, to see whether it moved; None where the audit is due in any case.
    """

    audit: int
    target: int
    token: str
    folder: str
    granted: int
    plan: Plan
    earlier: int
    reference: Sighting | None = None


def waiting(history: History, plans: Sequence[Plan], now: float) -> list[Plan]:
    """Return the plans that may have something to do, those that are due longest first; ``take`` has the last word."""
    with history.reading() as connection:
        mine = TARGETS.c.fleet == history.fleet
        query = sa.select(TARGETS.c.endpoint, TARGETS.c.bundle, TARGETS.c.slot, TARGETS.c.number).where(mine)
        held = {(endpoint, bundle): (slot, number) for endpoint, bundle, slot, number in connection.execute(query)}
        names = sa.select(TARGETS.c.endpoint, TARGETS.c.bundle).join(AUDITS, AUDITS.c.target == TARGETS.c.id)
        begun = {tuple(row) for row in connection.execute(names.where(mine, AUDITS.c.status == "open"))}
    found = []
    for plan in plans:
        slot, number = held[plan.endpoint, plan.bundle]
        due = plan.rhythm.due_at(plan.rhythm.settled(slot, now), plan.key, number + 1)
        ahead = slot > now + plan.rhythm.every + plan.rhythm.slack
        if due <= now + plan.rhythm.slack or ahead or (plan.endpoint, plan.bundle) in begun:
            found.append((due, plan))
    return [plan for _, plan in sorted(found, key=lambda each: (each[0], each[1].key))]


def take(
    history: History,
    plan: Plan,
    patience: Patience,
    now: float,
    draw: Callable[[], str],
    sent: Callable[[str], int | None],
    teller: Teller,
    others: Sequence[Plan] = (),
) -> Claim | None:
    """Take a plan's audit if it is due, and nobody else's, and paid for; else None.

    1. A slot or a lease that lies too far ahead was set by a clock that was wrong, then or now: it is drawn near.
    2. An audit that was begun goes on where it stopped, unless its slot is over: then it has failed.
    3. A new one gets its number, and its requests are put by.

    Args:
        history: the database.
        plan: what is to be audited.
        patience: how long others are waited for.
        now: seconds since 1970.
        draw: gives hexadecimal digits that nobody can foresee.
        sent: requests that the audit in a folder has sent; None where that cannot be told.
        teller: takes events.
        others: plans that wait in the same run: an audit of each can be paid for before any gets more than it needs.
    """
    with history.writing() as connection:
        # 1.
        mine = is_target(history.fleet, plan)
        target = dict(connection.execute(sa.select(TARGETS).where(mine)).mappings().one())
        slot = plan.rhythm.settled(target["slot"], now)
        if slot != target["slot"]:
            connection.execute(TARGETS.update().where(mine).values(slot=slot))
        due = plan.rhythm.is_due(slot, plan.key, target["number"] + 1, now)
        # 2.
        begun = _begun(connection, target["id"], patience, now)
        if begun is not None:
            held = begun["until"] > now
            if held and (begun["token"] is not None or not due):
                return None
            if not due:
                went_on = _go_on(connection, plan, patience, begun, now, draw(), sent)
                return went_on and replace(went_on, reference=_reference(connection, plan, target, now))
            close_failed(connection, begun, sent(begun["folder"]), patience.lost_after, now, teller)
        # 3.
        if not due:
            return None
        fresh = _begin(connection, plan, patience, dict(target, slot=slot), now, draw, teller, others)
        return fresh and replace(fresh, reference=_reference(connection, plan, target, now))


def renew(history: History, tokens: Sequence[str], lease: float, now: float) -> None:
    """Keep claims a while longer."""
    with history.writing() as connection:
        mine = sa.and_(AUDITS.c.status == "open", AUDITS.c.token.in_(tokens))
        connection.execute(AUDITS.update().where(mine).values(until=now + lease))


def give_up(history: History, tokens: Sequence[str], now: float) -> None:
    """Give claims back as a program ends in their midst: whoever comes next goes on where they stopped."""
    with history.writing() as connection:
        mine = sa.and_(AUDITS.c.status == "open", AUDITS.c.token.in_(tokens))
        connection.execute(AUDITS.update().where(mine).values(until=now))


def release(history: History, claim: Claim, until: float, error: str) -> None:
    """Give an audit back, to be gone on with later; that is no try, for nothing was wrong with the endpoint."""
    with history.writing() as connection:
        mine = sa.and_(AUDITS.c.id == claim.audit, AUDITS.c.token == claim.token)
        connection.execute(AUDITS.update().where(mine).values(token=None, until=until, error=error))


def _begun(connection: sa.Connection, target: int, patience: Patience, now: float) -> dict[str, Any] | None:
    """Return the target's open audit, its lease no longer than it may be from now on."""
    query = sa.select(AUDITS).where(AUDITS.c.target == target, AUDITS.c.status == "open")
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    longest = now + (patience.retry if row["token"] is None else patience.lease)
    if row["until"] > longest:
        connection.execute(AUDITS.update().where(AUDITS.c.id == row["id"]).values(until=longest))
    return dict(row, until=min(row["until"], longest))


def _go_on(
    connection: sa.Connection,
    plan: Plan,
    patience: Patience,
    begun: Mapping[str, Any],
    now: float,
    token: str,
    sent: Callable[[str], int | None],
) -> Claim | None:
    """Take over an audit that was begun; in another month its rest is paid for from that month's budgets."""
    audit, month, granted = begun["id"], month_of(now), begun["granted"]
    by_month = standing(connection, audit)
    if by_month and month not in by_month:
        spent = sent(begun["folder"])
        spent = granted if spent is None else min(spent, granted)
        last = max(by_month)
        earlier = sum(requests for each, requests in by_month.items() if each != last)
        left = left_in(connection, month, plan.budgets, begun["price"])
        rest = granted - spent if left is None else min(granted - spent, left)
        if rest < 1:
            return None
        put_by(connection, audit, last, plan.budgets, max(0, spent - earlier), begun["price"])
        put_by(connection, audit, month, plan.budgets, rest, begun["price"])
    mine = AUDITS.update().where(AUDITS.c.id == audit)
    connection.execute(mine.values(token=token, until=now + patience.lease))
    return Claim(audit, begun["target"], token, begun["folder"], granted, plan, _earlier(connection, plan, audit))


def _begin(
    connection: sa.Connection,
    plan: Plan,
    patience: Patience,
    target: Mapping[str, Any],
    now: float,
    draw: Callable[[], str],
    teller: Teller,
    others: Sequence[Plan],
) -> Claim | None:
    month = month_of(now)
    left = left_in(connection, month, plan.budgets, plan.price)
    if left is not None and left < plan.needed:
        _tell_spent(connection, plan, month, now, teller)
        return None
    spare = _spare(connection, plan, month, others)
    granted = plan.ceiling if spare is None else max(plan.needed, min(plan.ceiling, spare))
    number, token = target["number"] + 1, draw()
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    folder = f"{plan.endpoint}/{day}-{plan.bundle}-{number:04d}-{draw()[:8]}/{plan.endpoint}"
    row = {
        "target": target["id"], "number": number, "status": "open", "token": token, "until": now + patience.lease,
        "tries": 0, "granted": granted, "price": plan.price, "claimed": now, "folder": folder, "evidence": "folder",
        "url": plan.url, "bundle_sha256": plan.bundle_sha256,
    }  # fmt: skip
    audit = int(connection.execute(AUDITS.insert().values(row).returning(AUDITS.c.id)).scalar_one())
    after = plan.rhythm.slot_after(target["slot"], now)
    connection.execute(TARGETS.update().where(TARGETS.c.id == target["id"]).values(number=number, slot=after))
    put_by(connection, audit, month, plan.budgets, granted, plan.price)
    return Claim(audit, target["id"], token, folder, granted, plan, _earlier(connection, plan, audit))


def _reference(connection: sa.Connection, plan: Plan, target: Mapping[str, Any], now: float) -> Sighting | None:
    """Return what a glance compares with; None where an audit is due, or something was amiss."""
    amiss = target["failures"] or target["lost"] or target["unsteady"] or target["reference"] is None
    if plan.full_every is None or amiss:
        return None
    done = sa.and_(AUDITS.c.target == target["id"], AUDITS.c.status == "done")
    last = connection.execute(sa.select(sa.func.max(AUDITS.c.claimed)).where(done)).scalar()
    if last is None or now - last >= plan.full_every - plan.rhythm.slack:
        return None
    seen = reference_of(connection, target["reference"])
    return seen if seen is not None and seen.bundle_sha256 == plan.bundle_sha256 else None


def _spare(connection: sa.Connection, plan: Plan, month: str, others: Sequence[Plan]) -> int | None:
    """Return how many requests are left when an audit of each other plan is paid for; None for any number."""
    found = []
    for scope, budget in plan.budgets.items():
        left = left_in(connection, month, {scope: budget}, plan.price)
        if left is not None:
            found.append(left - sum(_in_requests(each, plan.price) for each in others if scope in each.budgets))
    return min(found, default=None)


def _in_requests(other: Plan, price: int) -> int:
    """Return what another audit needs, in requests at a price."""
    return max(other.needed, -(-other.needed * other.price // price) if price else 0)


def _earlier(connection: sa.Connection, plan: Plan, audit: int) -> int:
    counted = sa.and_(AUDITS.c.bundle_sha256 == plan.bundle_sha256, AUDITS.c.status != "glanced")
    before = sa.and_(counted, AUDITS.c.id < audit)
    return int(connection.execute(sa.select(sa.func.count()).select_from(AUDITS).where(before)).scalar_one())


def _tell_spent(connection: sa.Connection, plan: Plan, month: str, now: float, teller: Teller) -> None:
    """Say of each budget that cannot pay for an audit that it is spent, once a month.

    What is put by for audits under way may come back, and is not spent.
    """
    for spent in spent_in(connection, month, plan.budgets):
        left = left_in(connection, month, {spent.scope: plan.budgets[spent.scope]}, plan.price, closed=True)
        if left is not None and left < plan.needed:
            words = (
                f"the budget of {month} for {spent.scope} cannot pay for an audit any more: {left} requests are left"
            )
            teller.tell_once(connection, f"budget spent {month} {spent.scope}", "budget", words, now)
