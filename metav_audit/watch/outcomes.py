"""What became of an audit, written down in one step: its row, what it cost, what is known now, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from metav_audit.watch.budgets import month_of, near_end, put_by, standing
from metav_audit.watch.changes import Memory, after_audit, after_failure
from metav_audit.watch.events import Teller
from metav_audit.watch.sighting import Sighting, columns_of, sighting_of
from metav_audit.watch.tables import AUDITS, LEDGER, TARGETS

if TYPE_CHECKING:
    from metav_audit.watch.database import History
    from metav_audit.watch.fleet import Budget
    from metav_audit.watch.patience import Patience

_MEMORY = tuple(Memory.__slots__)


def finish(
    history: History,
    audit: int,
    token: str,
    seen: Sighting,
    budgets: Mapping[str, Budget],
    patience: Patience,
    now: float,
    teller: Teller,
) -> bool:
    """Write down an audit that was made; False, and nothing is written, where it is another's by now.

    Args:
        history: the database.
        audit: its number.
        token: of the claim.
        seen: what it showed.
        budgets: what paid for it, by scope.
        patience: at what share a budget is near its end.
        now: seconds since 1970.
        teller: takes events.
    """
    with history.writing() as connection:
        row = _mine(connection, audit, token)
        if row is None:
            return False
        done = {"status": "done", "token": None, "ended": now, "error": None, **columns_of(seen)}
        connection.execute(AUDITS.update().where(AUDITS.c.id == audit).values(done))
        _settle(connection, audit, seen.requests)
        memory = _memory(connection, row["target"])
        memory, drafts = after_audit(memory, audit, seen, reference_of(connection, memory.reference))
        _remember(connection, row["target"], memory)
        teller.tell(connection, audit, drafts, now)
        _tell_budgets(connection, budgets, patience.warn, now, teller)
        return True


def glanced(history: History, audit: int, token: str, requests: int, now: float) -> bool:
    """Write down that nothing had moved, and no more was asked; see ``finish``."""
    with history.writing() as connection:
        if _mine(connection, audit, token) is None:
            return False
        done = {"status": "glanced", "token": None, "ended": now, "error": None, "requests": requests}
        values = {**done, "evidence": "thinned"}
        connection.execute(AUDITS.update().where(AUDITS.c.id == audit).values(values))
        _settle(connection, audit, requests)
        return True


def fail(
    history: History,
    audit: int,
    token: str,
    error: str,
    sent: int | None,
    patience: Patience,
    now: float,
    teller: Teller,
) -> bool:
    """Write down that an audit could not be made: it is tried again in a later run, or has failed; see ``finish``.

    Args:
        history: the database.
        audit: its number.
        token: of the claim.
        error: why, in a line.
        sent: requests that it has sent so far; None where that cannot be told.
        patience: how often it is tried, and how soon again.
        now: seconds since 1970.
        teller: takes events.
    """
    with history.writing() as connection:
        row = _mine(connection, audit, token)
        if row is None:
            return False
        begun: dict[str, Any] = {**row, "tries": row["tries"] + 1, "error": error}
        if begun["tries"] >= patience.tries:
            close_failed(connection, begun, sent, patience.lost_after, now, teller)
            return True
        waits = {"token": None, "until": now + patience.retry, "tries": begun["tries"], "error": error}
        connection.execute(AUDITS.update().where(AUDITS.c.id == audit).values(waits))
        return True


def close_failed(
    connection: sa.Connection, row: Mapping[str, Any], sent: int | None, lost_after: int, now: float, teller: Teller
) -> None:
    """Close an open audit that nothing came of; who was killed before any try says nothing of the endpoint."""
    tried = row["tries"] > 0
    values = {
        "status": "failed" if tried else "dropped",
        "token": None,
        "ended": now,
        "tries": row["tries"],
        "error": row["error"] if tried else "it was interrupted, and its time was over before it went on",
        "requests": sent,
    }
    connection.execute(AUDITS.update().where(AUDITS.c.id == row["id"]).values(values))
    if sent is not None:
        _settle(connection, row["id"], sent)
    if tried:
        memory, drafts = after_failure(_memory(connection, row["target"]), row["error"] or "", lost_after)
        _remember(connection, row["target"], memory)
        teller.tell(connection, row["id"], drafts, now)


def _mine(connection: sa.Connection, audit: int, token: str) -> sa.RowMapping | None:
    query = sa.select(AUDITS).where(AUDITS.c.id == audit, AUDITS.c.token == token, AUDITS.c.status == "open")
    return connection.execute(query).mappings().one_or_none()


def _memory(connection: sa.Connection, target: int) -> Memory:
    row = connection.execute(sa.select(TARGETS).where(TARGETS.c.id == target)).mappings().one()
    return Memory(**{name: row[name] for name in _MEMORY})


def _remember(connection: sa.Connection, target: int, memory: Memory) -> None:
    connection.execute(TARGETS.update().where(TARGETS.c.id == target).values(asdict(memory)))


def reference_of(connection: sa.Connection, audit: int | None) -> Sighting | None:
    """Return what an audit showed; None without one, or where its answers are kept no more."""
    if audit is None:
        return None
    row = connection.execute(sa.select(AUDITS).where(AUDITS.c.id == audit)).mappings().one()
    return sighting_of(row)


def _settle(connection: sa.Connection, audit: int, sent: int) -> None:
    """Put what an audit sent in the place of what it might have sent; what earlier months paid for stays there."""
    by_month = standing(connection, audit)
    if not by_month:
        return
    last = max(by_month)
    rest = max(0, sent - sum(requests for month, requests in by_month.items() if month != last))
    query = sa.select(LEDGER.c.scope).where(LEDGER.c.audit == audit, LEDGER.c.month == last)
    scopes = dict.fromkeys(connection.execute(query).scalars())
    price = connection.execute(sa.select(AUDITS.c.price).where(AUDITS.c.id == audit)).scalar_one()
    put_by(connection, audit, last, scopes, rest, price)


def _tell_budgets(
    connection: sa.Connection, budgets: Mapping[str, Budget], warn: float, now: float, teller: Teller
) -> None:
    month = month_of(now)
    for spent, share in near_end(connection, month, budgets, warn):
        words = f"{share:.0%} of the budget of {month} for {spent.scope} is spent"
        teller.tell_once(connection, f"budget near {month} {spent.scope}", "budget", words, now)
