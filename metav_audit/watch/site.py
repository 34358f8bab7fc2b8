"""What a page shows, read from the history and the fleet file."""

from __future__ import annotations

from datetime import UTC, datetime

from metav_audit.watch.asking import read_bundles
from metav_audit.watch.budgets import month_of, spent_in
from metav_audit.watch.database import History
from metav_audit.watch.fleet import Fleet, all_budgets
from metav_audit.watch.history import happened, standings, untaken
from metav_audit.watch.page.build import Site
from metav_audit.watch.request_logs import left_behind


def read_site(fleet: Fleet, history: History, title: str, now: float) -> Site:
    """Read all that a page shows.

    Args:
        fleet: the fleet file.
        history: its history.
        title: of the site.
        now: seconds since 1970.

    Raises:
        RemoteError: the history cannot be reached.
    """
    bundles, outdated, logs = read_bundles(fleet, datetime.fromtimestamp(now, UTC).date())
    outdated |= left_behind(logs)
    budgets = all_budgets(fleet)
    with history.reading() as connection:
        spent = spent_in(connection, month_of(now), budgets)
    return Site(title, now, standings(history), happened(history), bundles, outdated, spent, budgets,
                untaken(history))  # fmt: skip
