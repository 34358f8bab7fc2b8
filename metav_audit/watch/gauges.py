"""The state of the fleet as a Prometheus text file, for the node exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metav_audit.files import write_atomically
from metav_audit.report.as_prometheus import Sample, write_gauges
from metav_audit.watch.budgets import MILLIONTHS, Spent
from metav_audit.watch.fleet import Budget
from metav_audit.watch.history import Standing

METRICS = {
    "watch_outcome": "1 for the last verdict of an endpoint, 0 for the others.",
    "watch_lost": "Whether an endpoint could not be asked several times in a row.",
    "watch_score": "The last audit's score, from 0 to 1.",
    "watch_last_audit_timestamp_seconds": "When the last audit of an endpoint ended, in seconds since 1970.",
    "watch_due_timestamp_seconds": "When the next audit of an endpoint is due, in seconds since 1970.",
    "watch_events": "Events of an endpoint so far.",
    "watch_budget_spent": "What was spent or put by this month, of requests or of money.",
    "watch_budget": "What may be spent in a month, of requests or of money.",
    "watch_run_timestamp_seconds": "When the watch last ran, in seconds since 1970.",
}
"""What each metric means, by its name behind ``metav_audit_``."""

_OUTCOMES = ("match", "no_match", "inconclusive", "failed")


def write_gauge_file(
    path: Path, targets: list[Standing], spent: list[Spent], budgets: Mapping[str, Budget], now: float
) -> None:
    """Write the file, whole or not at all.

    Args:
        path: the file.
        targets: how each endpoint stands.
        spent: of this month.
        budgets: by scope.
        now: seconds since 1970.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    samples = [
        *(sample for each in targets if each.watched for sample in _of_a_target(each)),
        *_of_budgets(spent, budgets),
    ]
    write_atomically(path, write_gauges(METRICS, [*samples, ("watch_run_timestamp_seconds", {}, now)]))


def _of_a_target(target: Standing) -> Iterator[Sample]:
    labels = {"endpoint": target.endpoint, "bundle": target.bundle}
    yield "watch_lost", labels, int(target.lost)
    yield "watch_due_timestamp_seconds", labels, target.slot
    for kind, count in target.events.items():
        yield "watch_events", {**labels, "kind": kind}, count
    last = target.last
    if last is not None and last.ended is not None:
        for outcome in _OUTCOMES:
            yield "watch_outcome", {**labels, "outcome": outcome}, int(outcome == last.word)
        yield "watch_last_audit_timestamp_seconds", labels, last.ended
        if last.score is not None:
            yield "watch_score", labels, last.score


def _of_budgets(spent: list[Spent], budgets: Mapping[str, Budget]) -> Iterator[Sample]:
    for each in spent:
        used = {"requests": each.requests, "cost": each.cost / MILLIONTHS}
        limits = {"requests": budgets[each.scope].requests, "cost": budgets[each.scope].cost}
        for unit, limit in limits.items():
            if limit is not None:
                labels = {"scope": each.scope, "unit": unit}
                yield "watch_budget_spent", labels, used[unit]
                yield "watch_budget", labels, limit
