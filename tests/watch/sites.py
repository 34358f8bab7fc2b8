"""A site to look at: 200 endpoints, 10,000 audits, and all that can happen to them."""

from __future__ import annotations

import random

from metav_audit.watch.budgets import Spent
from metav_audit.watch.events import Event
from metav_audit.watch.fleet import Budget
from metav_audit.watch.history import AuditRow, Standing
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
    )  # fmt: skip


def make_site(endpoints: int = 200, audits: int = 50) -> Site:
    """A site of endpoints with so many audits each."""
    rng, targets, events, number = random.Random(4), [], [], 0
    now = START + audits * WEEK
    for index in range(endpoints):
        name = f"vendor-{index:03}.classify"
        kind, swap = index % 25, rng.randrange(10, audits - 5) if index % 6 == 0 else audits
        rows: list[AuditRow] = []
        for week in range(audits):
            number += 1
            base = (0.93 if week >= swap else 0.2) if kind in (0, 12) else (0.35 if week >= swap else 0.15)
            score = min(max(base + rng.gauss(0, 0.01), 0.0), 1.0)
            outcome = "match" if score > 0.8 else "no_match"
            if rng.random() < 0.02:
                outcome = "inconclusive"
            gone = kind == 7 and week > audits - 4 and index < 60
            rows.append(audit(number, START + week * WEEK + rng.random() * 86400, None if gone else outcome,
                              None if gone else score, week + 1, name))  # fmt: skip
            at, uid = rows[-1].ended or 0.0, f"{index:04}{week:04}"
            told = {"endpoint": name, "bundle": "digits", "url": f"https://api.vendor-{index}.example/v1/classify"}
            if week == swap:
                words = "44 of 48 inputs are answered otherwise (by 0.31 in the median, 0.92 at most)"
                events.append(Event(uid, "change", at, audit=number, before=number - 1, words=words, **told))
                if outcome == "match":
                    words = "the endpoint matches the target (score 0.9312, p = 0.0244)"
                    events.append(Event(uid, "match", at, audit=number, before=None, words=words, **told))
            if gone and week == audits - 2:
                words = "2 audits in a row could not be made; the last: HTTP 503"
                events.append(Event(uid, "lost", at, audit=number, before=None, words=words, **told))
        counts: dict[str, int] = {}
        for event in events:
            if event.endpoint == name:
                counts[event.kind] = counts.get(event.kind, 0) + 1
        lost, url = bool(counts.get("lost")), f"https://api.vendor-{index}.example/v1/classify"
        targets.append(
            Standing(index + 1, name, "digits", url, now + 3600, audits, "no_match", lost, tuple(rows), counts)
        )
    events.sort(key=lambda event: event.at)
    spent = [Spent("fleet", "2026-12", 10431, 52_155_000), Spent("host:api.vendor-3.example", "2026-12", 188, 0)]
    budgets = {"fleet": Budget(requests=12000, cost=80.0), "host:api.vendor-3.example": Budget(requests=200)}
    outdated = {"lesions": "the bundle was good until 2026-06-30: fit it again"}
    return Site("Watched endpoints", now, targets, events, {"digits": make_bundle()}, outdated, spent, budgets)


def link(row: AuditRow) -> str:
    """Where an archive would lie."""
    return f"../../evidence/{row.folder.rpartition('/')[0]}.zip"
