"""Who is watched: the plans of a fleet file, and their rows in the history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from metav_audit.watch.database import History, fleet_of
from metav_audit.watch.due import Rhythm
from metav_audit.watch.fleet import Budget
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.tables import AUDITS, EVENTS, MESSAGES, TARGETS


@dataclass(frozen=True, slots=True)
class Plan:
    """An endpoint and the bundle that it is asked.

    Attributes:
        endpoint: its name.
        bundle: the bundle's name.
        bundle_sha256: its hash.
        url: where the endpoint is asked.
        host: its host, with its port where there is one.
        rhythm: how often it is audited.
        quiet: hours in which it is not asked.
        needed: requests of an audit without retries.
        ceiling: requests of an audit at most.
        price: of a request, in millionths.
        budgets: what pays for it, by scope.
        full_every: seconds between two audits where a glance shows that nothing moved; None where each is an audit.
        glance: requests of a glance without retries.
    """

    endpoint: str
    bundle: str
    bundle_sha256: str
    url: str
    host: str
    rhythm: Rhythm
    quiet: QuietHours
    needed: int
    ceiling: int
    price: int
    budgets: Mapping[str, Budget]
    full_every: float | None = None
    glance: int = 0

    @property
    def usual(self) -> float:
        """Requests that a slot takes on average, without retries, where nothing moves."""
        if self.full_every is None:
            return self.needed
        share = min(1.0, self.rhythm.every / self.full_every)
        return share * self.needed + (1 - share) * self.glance

    @property
    def key(self) -> str:
        """Its name in one word."""
        return f"{self.endpoint}/{self.bundle}"


def adopt(history: History) -> None:
    """Let rows of before fleets had names be this fleet's."""
    with history.reading() as connection:
        if not connection.execute(sa.select(TARGETS.c.id).where(TARGETS.c.fleet == "").limit(1)).first():
            return
    with history.writing() as connection:
        for table in (TARGETS, EVENTS, MESSAGES):
            connection.execute(table.update().where(table.c.fleet == "").values(fleet=history.fleet))


def enrol(history: History, plans: Sequence[Plan], now: float, waiting: Collection[str] = ()) -> None:
    """Put targets that are new into the history, due at once, and keep what is known of the others up to date.

    Args:
        history: the database.
        plans: what is watched.
        now: seconds since 1970.
        waiting: bundles that cannot be read now; what is watched with them is watched still.
    """
    with history.reading() as connection:
        if not _strange(connection, plans) and not _gone(connection, plans, waiting):
            return
    with history.writing() as connection:
        known = _known(connection)
        gone = TARGETS.c.id.in_(_gone(connection, plans, waiting))
        connection.execute(TARGETS.update().where(gone).values(watched=False))
        for plan in _strange(connection, plans):
            where = {"url": plan.url, "host": plan.host, "watched": True}
            if (plan.endpoint, plan.bundle) in known:
                connection.execute(TARGETS.update().where(is_target(history.fleet, plan)).values(where))
                continue
            named = {"fleet": history.fleet, "endpoint": plan.endpoint, "bundle": plan.bundle, **where}
            fresh = {"slot": now, "number": 0, "failures": 0, "lost": False, "unsteady": 0}
            connection.execute(TARGETS.insert().values({**named, **fresh}))


def _known(connection: sa.Connection) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return every target's address, and whether it is watched."""
    query = sa.select(TARGETS.c.endpoint, TARGETS.c.bundle, TARGETS.c.url, TARGETS.c.watched)
    rows = connection.execute(query.where(TARGETS.c.fleet == fleet_of(connection)))
    return {(endpoint, bundle): (url, watched) for endpoint, bundle, url, watched in rows}


def _gone(connection: sa.Connection, plans: Sequence[Plan], waiting: Collection[str]) -> list[int]:
    """Return the targets that no plan names any more."""
    planned = {(each.endpoint, each.bundle) for each in plans}
    query = sa.select(TARGETS.c.id, TARGETS.c.endpoint, TARGETS.c.bundle)
    mine = query.where(TARGETS.c.fleet == fleet_of(connection), TARGETS.c.watched)
    return [
        target
        for target, endpoint, bundle in connection.execute(mine)
        if (endpoint, bundle) not in planned and bundle not in waiting
    ]


def _strange(connection: sa.Connection, plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans that the history does not know, or knows at another address."""
    known = _known(connection)
    return [each for each in plans if known.get((each.endpoint, each.bundle)) != (each.url, True)]


def is_target(fleet: str, plan: Plan) -> sa.ColumnElement[bool]:
    """Say which target a plan is of."""
    return sa.and_(TARGETS.c.fleet == fleet, TARGETS.c.endpoint == plan.endpoint, TARGETS.c.bundle == plan.bundle)


def last_audit_with(connection: sa.Connection, bundle: str) -> int:
    """Return the number of the last audit that was begun with a bundle of this name; 0 before the first."""
    mine = sa.and_(TARGETS.c.fleet == fleet_of(connection), TARGETS.c.bundle == bundle)
    query = sa.select(sa.func.max(AUDITS.c.id)).join(TARGETS, TARGETS.c.id == AUDITS.c.target).where(mine)
    return int(connection.execute(query).scalar() or 0)
