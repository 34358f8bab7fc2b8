"""What the pages of audits have in common whose null is drawn again: by coins, and of served answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from metav_audit.report.blocks import Block, Column, Drawing, Ledger, Mark, Paragraph, Row, Table, Tone
from metav_audit.report.document import Document, Section
from metav_audit.report.layout.values import moment, p_value
from metav_audit.report.text import shorten
from metav_audit.verdict import VerdictOutcome
from metav_audit.verdict.drawn import AnyFinding, DrawnVerdict
from metav_audit.verdict.drawn_folder import DrawnDecision

MOST_QUERIES = 400
"""Queries listed; the plan has all of them."""
LONGEST_NAME = 60

Told = tuple[Column, Callable[[AnyFinding], str]]
"""A column of the accounts' table, and what stands in it."""


def lay_out(
    decision: DrawnDecision[Any, Any],
    what: str,
    question: str,
    outcome: Iterable[Block],
    accounts: Iterable[Block],
    explained: Paragraph,
    queries: tuple[str, Iterable[Block]],
) -> Document:
    """Return the pages.

    Args:
        decision: what they say.
        what: kind of audit it is.
        question: that it answers, at the foot of every page.
        outcome: the blocks of the first section.
        accounts: those of the second.
        explained: how to read it.
        queries: the last section's heading and blocks.
    """
    verdict = decision.verdict
    name = shorten(verdict.endpoint, LONGEST_NAME)
    heading, asked = queries
    return Document(
        title=f"{what}: {name}",
        header=f"{what} · {name}",
        stamp=f"plan {verdict.plan_sha256[:12]}",
        footer=f"metav-audit · {question}",
        date=decision.transcript.finished or decision.transcript.started,
        cover=None,
        sections=(
            Section("A match" if verdict.outcome is VerdictOutcome.MATCH else "Inconclusive", tuple(outcome)),
            Section("Accounts", tuple(accounts)),
            Section("How to read this", (explained,)),
            Section(heading, tuple(asked), new_page=True),
        ),
    )


def ledger_of(decision: DrawnDecision[Any, Any], inputs: str, rows: Sequence[tuple[str, str]]) -> Ledger:
    """Return who was asked how much, then rows of one's own, then the promise; ``inputs`` names what was asked."""
    verdict = decision.verdict
    asked = f"{verdict.answered} of {verdict.queries} {inputs} answered, {verdict.requests} requests"
    return Ledger(
        (
            ("Endpoint", f"{shorten(verdict.endpoint, LONGEST_NAME)}, {shorten(verdict.url, 200)}"),
            ("Asked", f"{asked}, from {moment(decision.transcript.started)}"),
            *rows,
            ("Promised rate of false matches", f"{verdict.rate:g}"),
        )
    )


def drawing_of(figure: str) -> Drawing:
    """Return the accounts' drawing."""
    return Drawing(
        figure,
        "The accounts' p-values on a logarithmic scale, smallest first, with the promised rate as a line.",
        "Accounts by p-value, corrected for their number. Left of the line: named.",
    )


def table_of(
    verdict: DrawnVerdict[AnyFinding],
    *,
    before: Sequence[Told[AnyFinding]] = (),
    after: Sequence[Told[AnyFinding]] = (),
) -> Table:
    """Return the accounts by p-value, with columns of one's own before the statistic and after the p-values."""
    usual: list[Told[AnyFinding]] = [
        (Column("Account"), lambda each: shorten(each.account, LONGEST_NAME)),
        (Column("asked", 16, numeric=True), lambda each: str(each.asked)),
        (Column("told", 14, numeric=True), lambda each: str(each.answered)),
        *before,
        (Column("statistic", 20, numeric=True), lambda each: f"{each.statistic:.2f}"),
        (Column("p", 20, numeric=True), lambda each: p_value(each.p_value)),
        (Column("corrected", 22, numeric=True), lambda each: p_value(each.adjusted)),
        *after,
    ]
    found, named = Mark("FOUND", Tone.DERIVED), set(verdict.accounts)
    rows: list[Row] = [
        (*(tell(each) for _, tell in usual), found if each.account in named else "")
        for each in sorted(verdict.findings, key=lambda each: each.p_value)
    ]
    return Table((*(column for column, _ in usual), Column("", 18)), tuple(rows))


def queries_of(columns: tuple[Column, ...], rows: Sequence[Row]) -> Iterable[Block]:
    """Yield the table of queries, and how many more there are."""
    yield Table(columns, tuple(rows[:MOST_QUERIES]))
    if len(rows) > MOST_QUERIES:
        yield Paragraph(f"The plan has {len(rows) - MOST_QUERIES} more.", small=True)
