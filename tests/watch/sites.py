"""A site to look at: 200 endpoints, 10,000 audits, and all that can happen to them."""

from __future__ import annotations

import random
from dataclasses import replace

from metav_audit.watch.budgets import Spent
from metav_audit.watch.events import Event
from metav_audit.watch.fleet import Budget
from metav_audit.watch.history import AuditRow, Standing, Untaken
from metav_audit.watch.page.build import Site
from tests.builders import make_bundle
from tests.watch.fleets import START, WEEK


def audit(number: int, at: float, outcome: str | None, score: float | None, nth: int, endpoint: str) -> AuditRow:
    folder = f"{endpoint}/2026-01-05-digits-{nth:04}-9f3a7c2b/{endpoint}"
    failed = outcome is None
    return AuditRow(
        id=number, number=nth, status="failed" if failed else "done", claimed=at, ended=at + 40, outcome=outcome,
        score=score, p_value=None if score is None else 0.5, p_value_derived=None if score is None else 0.03,
        p_value_siblings=None, log10_lr=None if score is None else -0.7, queries=None if failed else 32,
        answered=None if failed else 32, requests=66, latency=None if failed else 0.032,
        view=None if failed else "all classes",
        error="endpoint suspect: 5 requests in a row failed; the last: HTTP 503" if failed else None, folder=folder,
        evidence="packed", bundle_sha256="0" * 64,
        why="such a score is usual among derived and independent models alike" if outcome == "inconclusive" else None,
    )  # fmt: skip


def make_target(index: int, audits: int, rng: random.Random) -> tuple[Standing, list[Event]]:
    """An endpoint that is swapped, or lost, or neither; every 25th becomes a copy of the target."""
    name, url = f"vendor-{index:03}.classify", f"https://api.vendor-{index}.example/v1/classify"
    swap = rng.randrange(10, audits - 5) if index % 6 == 0 else audits
    before, after = (0.2, 0.93) if index % 25 in (0, 12) else (0.15, 0.35)
    gone = audits - 3 if index in (7, 32, 57) else audits
    rows: list[AuditRow] = []
    for week in range(audits):
        score = min(max((after if week >= swap else before) + rng.gauss(0, 0.01), 0.0), 1.0)
        outcome = "inconclusive" if rng.random() < 0.02 else ("match" if score > 0.8 else "no_match")
        told = (None, None) if week >= gone else (outcome, score)
        rows.append(audit(index * audits + week + 1, START + (week + rng.random() / 7) * WEEK, *told, week + 1, name))
    events: list[Event] = []

    def tell(kind: str, week: int, words: str, before: int | None = None) -> None:
        row = rows[week]
        events.append(Event(f"{kind}{row.id}", kind, row.ended, name, "digits", url, row.id, before, words))

    if swap < audits:
        tell("change", swap, "44 of 48 inputs are answered otherwise (by 0.31 in the median, 0.92 at most)", rows[0].id)
        if after > 0.8:
            tell("match", swap, "the endpoint matches the target (score 0.9312, p = 0.0244)")
    if gone < audits:
        tell("lost", gone + 1, "2 audits in a row could not be made; the last: HTTP 503")
    counts = {kind: sum(event.kind == kind for event in events) for kind in {event.kind for event in events}}
    due = START + audits * WEEK + 3600
    return Standing(
        index + 1, name, "digits", url, due, audits, "no_match", gone < audits, audits=tuple(rows), events=counts
    ), events


def make_site(endpoints: int = 200, audits: int = 50) -> Site:
    """A site of endpoints with so many audits each."""
    rng = random.Random(4)
    made = [make_target(index, audits, rng) for index in range(endpoints)]
    events = sorted((event for _, told in made for event in told), key=lambda event: event.at)
    spent = [Spent("fleet", "2026-12", 10431, 52_155_000), Spent("host:api.vendor-3.example", "2026-12", 188, 0)]
    budgets = {"fleet": Budget(requests=12000, cost=80.0), "host:api.vendor-3.example": Budget(requests=200)}
    outdated = {"lesions": "the bundle was good until 2026-06-30: fit it again"}
    targets, bundles = [target for target, _ in made], {"digits": make_bundle()}
    if endpoints > 12:
        targets[9] = replace(targets[9], failing="endpoint suspect: no answer within 30 s")
        targets[11] = replace(targets[11], watched=False)
    now = START + audits * WEEK
    waiting = [Untaken("chat", now - 3600, 3, "the webhook at hooks.example answered with status 503")]
    return Site("Watched endpoints", now, targets, events, bundles, outdated, spent, budgets, waiting)


def link(row: AuditRow) -> str:
    """Where an archive would lie."""
    return f"../../evidence/{row.folder.rpartition('/')[0]}.zip"
