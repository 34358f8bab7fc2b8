"""A whole run of a fleet: open, audit what is due, thin what is old, tell what happened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from metav_audit.audit import Grant
from metav_audit.errors import ConfigurationError
from metav_audit.watch.asking import Auditor, Opened
from metav_audit.watch.budgets import month_of, spent_in
from metav_audit.watch.channels import kinds_of, open_channels
from metav_audit.watch.database import History, open_history
from metav_audit.watch.enrolment import adopt, last_audit_with
from metav_audit.watch.events import QUERY, Event, Teller
from metav_audit.watch.fleet import Fleet, all_budgets
from metav_audit.watch.gauges import write_gauge_file
from metav_audit.watch.history import standings
from metav_audit.watch.outbox import deliver
from metav_audit.watch.patience import Patience
from metav_audit.watch.retention import tidy
from metav_audit.watch.run import Done, World, run_due
from metav_audit.watch.tables import EVENTS

if TYPE_CHECKING:
    from metav_audit.evidence import Sealer
    from metav_audit.report import Paper

LEASE_S = 600.0
"""Seconds after which the audit of a watcher that was killed is taken over."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What a run has of the program that calls it.

    Attributes:
        now: seconds since 1970.
        draw: gives 32 hexadecimal digits that nobody can foresee.
        write: prints a line of data.
        told: told of each audit as it is done.
        complain: told what could not be done, in a line.
        sealer: gives what seals the audits of an endpoint file; None for nothing.
    """

    now: Callable[[], float]
    draw: Callable[[], str]
    write: Callable[[str], None]
    told: Callable[[Done], None]
    complain: Callable[[str], None]
    sealer: Callable[[Path], Sealer | None]


def watch_once(
    fleet: Fleet,
    opened: Opened,
    grant: Grant,
    environment: Mapping[str, str],
    hands: Hands,
    *,
    parallel: int = 4,
    paper: Paper = "a4",
) -> tuple[list[Event], list[Done]]:
    """Audit what is due, once; return what happened since this run began, and what became of each audit.

    1. Whatever is wrong on this side stops everything before anything is sent.
    2. What is due is audited. Where a request log's bundle was asked, it is looked whether the log has left it behind.
    3. Evidence that is old is packed and thinned.
    4. Everybody is told what happened, now or before, and was not told yet.

    Args:
        fleet: the fleet file.
        opened: its bundles and endpoints.
        grant: what of this machine they may take.
        environment: where variables are looked up.
        hands: the program that calls.
        parallel: hosts asked at once.
        paper: the PDFs'.

    Raises:
        ConfigurationError: an address is wrong, a variable is not set (SecretError), or a log was never there.
        EvidenceError: the history is a newer program's.
        RemoteError: the history cannot be reached.
    """
    # 1.
    channels = open_channels(fleet, grant, environment, hands.write)
    teller = Teller(kinds_of(fleet))
    auditor = Auditor(opened, fleet.place(fleet.file.evidence), hands.sealer, fleet.file.stop_early, paper)
    with open_history(fleet.file.database, fleet.path.parent, environment, fleet.name) as history:
        adopt(history)
        _check_logs(fleet, opened, history)
        before = _last_event(history)
        for name, why in opened.outdated.items():
            hands.complain(f"{'logs' if name in fleet.file.logs else 'bundles'}.{name}: {why}")
            with history.writing() as connection:
                # What could be read in between is told again.
                since = "" if name in opened.bundles else f" {last_audit_with(connection, name)}"
                teller.tell_once(connection, f"outdated {name} {why}{since}", "outdated", f"{name}: {why}", hands.now())
        # 2.
        world = World(hands.now, hands.draw, auditor.ask, auditor.sent)
        done = run_due(history, opened.plans, world, _patience(fleet), teller, parallel=parallel, told=hands.told,
                       unreadable=opened.unreadable)  # fmt: skip
        _look_at_logs(history, opened, done, teller, hands)
        # 3.
        tidy(history, fleet.file.retention, auditor.evidence, fleet.file.archive, hands.now(), hands.complain)
        # 4.
        _write_gauges(fleet, history, hands.now())
        deliver(history, channels, hands.now, hands.draw, hands.complain)
        return _since(history, before), done


def _check_logs(fleet: Fleet, opened: Opened, history: History) -> None:
    """Raise ConfigurationError where a log is not there and never was asked about: its path is mistyped."""
    for name in opened.outdated.keys() & fleet.file.logs.keys():
        path = fleet.place(fleet.file.logs[name].log)
        with history.reading() as connection:
            if not os.path.lexists(path) and not last_audit_with(connection, name):
                raise ConfigurationError(f"{fleet.path}: logs.{name}.log: there is no log {path}: check the path")


def _look_at_logs(history: History, opened: Opened, done: Sequence[Done], teller: Teller, hands: Hands) -> None:
    """Say which bundles that were asked in this run their request logs have left behind, once a month each."""
    asked = {each.claim.plan.bundle for each in done}
    for name, log in opened.logs.items():
        for lag in log.lags() if name in asked else ():
            hands.complain(f"logs.{name}: {lag.words}")
            key = f"behind {name} {lag.kind} {log.bundle.sha256} {month_of(hands.now())}"
            with history.writing() as connection:
                teller.tell_once(connection, key, "outdated", f"{name}: {lag.words}", hands.now())


def _patience(fleet: Fleet) -> Patience:
    file = fleet.file
    return Patience(LEASE_S, file.retry, file.tries, file.lost_after, file.budgets.warn)


def _last_event(history: History) -> int:
    with history.reading() as connection:
        return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(EVENTS.c.id), 0))).scalar_one())


def _since(history: History, event: int) -> list[Event]:
    with history.reading() as connection:
        return [
            Event.of(row)
            for row in connection.execute(QUERY.where(EVENTS.c.id > event, EVENTS.c.fleet == history.fleet)).mappings()
        ]


def _write_gauges(fleet: Fleet, history: History, now: float) -> None:
    paths = [fleet.place(each.path) for each in fleet.file.notify.values() if each.kind == "prometheus" and each.path]
    if not paths:
        return
    budgets = all_budgets(fleet)
    with history.reading() as connection:
        spent = spent_in(connection, month_of(now), budgets)
    for path in paths:
        write_gauge_file(path, standings(history), spent, budgets, now)
