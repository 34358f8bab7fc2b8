"""Budgets of a month: what an audit may send is put by in the database before its first request leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from metav_audit.watch.database import fleet_of
from metav_audit.watch.fleet import Budget
from metav_audit.watch.tables import AUDITS, LEDGER, TARGETS

MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """What was sent of a budget, or is put by, in a month.

    Attributes:
        scope: "fleet", "host:NAME" or "bundle:NAME".
        month: like "2026-03".
        requests: retries included.
        cost: in millionths.
    """

    scope: str
    month: str
    requests: int
    cost: int

    def share_of(self, budget: Budget) -> float:
        """Return how much of it is spent, of requests or of money, whichever is more; 0 without a budget."""
        spent = ((self.requests, budget.requests), (self.cost / MILLIONTHS, budget.cost))
        return max((_share(used, limit) for used, limit in spent if limit is not None), default=0.0)


def _share(used: float, limit: float) -> float:
    return used / limit if limit else 1.0


def month_of(at: float) -> str:
    """Return a moment's month, UTC.

    >>> month_of(0.0)
    '1970-01'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def price_of(price: float | None) -> int:
    """Return a request's price in millionths, rounded up."""
    return 0 if price is None else -int(-price * MILLIONTHS // 1)


def spent_in(
    connection: sa.Connection, month: str, scopes: Mapping[str, Budget] | None = None, *, closed: bool = False
) -> list[Spent]:
    """Return what was spent in a month, of some budgets or of all that anything was spent of.

    What is put by for audits under way counts as spent, unless only those that are ``closed`` are asked for.
    """
    sums = (sa.func.coalesce(sa.func.sum(LEDGER.c.requests), 0), sa.func.coalesce(sa.func.sum(LEDGER.c.cost), 0))
    query = sa.select(LEDGER.c.scope, *sums).where(LEDGER.c.month == month).group_by(LEDGER.c.scope)
    query = query.join(AUDITS, AUDITS.c.id == LEDGER.c.audit).join(TARGETS, TARGETS.c.id == AUDITS.c.target)
    query = query.where(TARGETS.c.fleet == fleet_of(connection))
    if closed:
        query = query.where(AUDITS.c.status != "open")
    if scopes is not None:
        query = query.where(LEDGER.c.scope.in_(list(scopes)))
    found = {
        scope: Spent(scope, month, int(requests), int(cost)) for scope, requests, cost in connection.execute(query)
    }
    named = scopes if scopes is not None else found
    return [found.get(scope, Spent(scope, month, 0, 0)) for scope in named]


def left_in(
    connection: sa.Connection, month: str, budgets: Mapping[str, Budget], price: int, *, closed: bool = False
) -> int | None:
    """Return how many requests all budgets together leave in a month; None for any number. ``closed``: see above."""
    spent = {each.scope: each for each in spent_in(connection, month, budgets, closed=closed)}
    left = [_left(spent[scope], budget, price) for scope, budget in budgets.items()]
    return min((each for each in left if each is not None), default=None)


def _left(spent: Spent, budget: Budget, price: int) -> int | None:
    limits: list[int] = []
    if budget.requests is not None:
        limits.append(budget.requests - spent.requests)
    if budget.cost is not None and price:
        limits.append((int(budget.cost * MILLIONTHS) - spent.cost) // price)
    return max(0, min(limits)) if limits else None


def put_by(connection: sa.Connection, audit: int, month: str, scopes: Iterable[str], requests: int, price: int) -> None:
    """Say what an audit may send, or has sent, in a month; what was said of that month before no longer counts."""
    connection.execute(LEDGER.delete().where(LEDGER.c.audit == audit, LEDGER.c.month == month))
    rows = [{"audit": audit, "month": month, "scope": scope, "requests": requests, "cost": requests * price}
            for scope in scopes]  # fmt: skip
    connection.execute(LEDGER.insert(), rows)


def standing(connection: sa.Connection, audit: int) -> dict[str, int]:
    """Return what an audit may send, or has sent, by month."""
    query = sa.select(LEDGER.c.month, sa.func.max(LEDGER.c.requests)).where(LEDGER.c.audit == audit)
    return {month: int(requests) for month, requests in connection.execute(query.group_by(LEDGER.c.month))}


def near_end(
    connection: sa.Connection, month: str, budgets: Mapping[str, Budget], warn: float
) -> Iterator[tuple[Spent, float]]:
    """Yield the budgets that are near their end, with the share that is spent."""
    for spent in spent_in(connection, month, budgets, closed=True):
        share = spent.share_of(budgets[spent.scope])
        if share >= warn:
            yield spent, share
