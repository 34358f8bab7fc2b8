"""What the pages of an audit of served answers say."""

from __future__ import annotations

from collections.abc import Iterator

from metav_audit.report.blocks import Block, Column, Drawing, Items, Ledger, Mark, Paragraph, Row, Table, Tone
from metav_audit.report.document import Document, Section
from metav_audit.report.layout.values import moment, p_value
from metav_audit.report.text import shorten
from metav_audit.task.texts import Shows
from metav_audit.verdict import VerdictOutcome
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.served import leanings, numbers_of
from metav_audit.verdict.served_folder import ServedDecision

FIGURE = "served.svg"
MOST_QUERIES = 400
"""Prompts listed; the plan has all of them."""
_LONGEST_NAME, _LONGEST_TEXT = 60, 160
_ACCOUNTS = (
    Column("Account"),
    Column("asked", 16, numeric=True),
    Column("told", 14, numeric=True),
    Column("statistic", 20, numeric=True),
    Column("p", 20, numeric=True),
    Column("corrected", 22, numeric=True),
    Column("fit", 20, numeric=True),
    Column("", 18),
)
_QUERIES = (
    Column("", 12, numeric=True),
    Column("Account", 24),
    Column("when", 38),
    Column("prompt"),
    Column("served"),
    Column("rank", 14, numeric=True),
)
_ASKED = {
    Shows.LOG_PROBABILITIES: "how likely it holds the answer served, and each alternative",
    Shows.TOKENS: "which tokens it holds likeliest after the prompt and the answer's beginning",
    Shows.TEXT: "for answers of its own, which were compared with the answer served and each alternative",
}


def lay_out_served(decision: ServedDecision, sealed: str) -> Document:
    """Return the pages; ``sealed`` says since when the log is shown to have been there."""
    verdict = decision.verdict
    name = shorten(verdict.endpoint, _LONGEST_NAME)
    found = verdict.outcome is VerdictOutcome.MATCH
    return Document(
        title=f"Audit of served answers: {name}",
        header=f"Audit of served answers · {name}",
        stamp=f"plan {verdict.plan_sha256[:12]}",
        footer="metav-audit · was this model trained on answers that our model was asked for?",
        date=decision.transcript.finished or decision.transcript.started,
        cover=None,
        sections=(
            Section("A match" if found else "Inconclusive", tuple(_outcome(decision, sealed))),
            Section("Accounts", tuple(_accounts(decision))),
            Section("How to read this", (_EXPLAINED,)),
            Section("Prompts asked", tuple(_queries(decision)), new_page=True),
        ),
    )


_EXPLAINED = Paragraph(
    "The owner's model draws its answers at random: what an account was served is one of many answers that it might "
    "have been served. Alternatives were drawn from the same model for the same prompts afterwards, by seeds that the "
    "auditor's number fixes. Whoever never saw what was served cannot tell it from the alternatives, whatever else "
    "they know; whoever trained on it finds it likelier. The one served was drawn anew 9,999 times: p is the share of "
    "draws that fit the suspect no worse. That is exact for any suspect, a copy of the model itself and a thief who "
    "asked the same through another account included. Corrected: the same for all accounts together (Holm 1979). Fit: "
    "whether what was served looks like the alternatives to the owner's own model, which it must. No match does not "
    "clear a suspect: thieves who asked through other accounts, or little, go unfound."
)


def _outcome(decision: ServedDecision, sealed: str) -> Iterator[Block]:
    verdict, plan = decision.verdict, decision.plan
    yield Items(verdict.reasons)
    yield Paragraph(sealed, title="Since when the log is fixed")
    asked = f"{verdict.answered} of {verdict.queries} prompts answered, {verdict.requests} requests"
    left_out = "; ".join(f"{count}: {why}" for why, count in sorted(plan.left_out.items())) or "none"
    yield Ledger(
        (
            ("Endpoint", f"{shorten(verdict.endpoint, _LONGEST_NAME)}, {shorten(verdict.url, 200)}"),
            ("Asked", f"{asked}, from {moment(decision.transcript.started)}"),
            ("It was asked", f"{_ASKED[plan.shows]}; {len(plan.queries[0].continuations) - 1} alternatives a prompt"),
            ("Model that served and drew", shorten(plan.model, 200)),
            ("Rows of the log left out", left_out),
            ("Promised rate of false matches", f"{verdict.rate:g}"),
        )
    )
    yield Ledger(
        (
            ("The auditor's number", shorten(str(plan.log.get("draw", "")), 80)),
            ("SHA-256 of the plan", verdict.plan_sha256),
            ("Head of the transcript", verdict.transcript_sha256),
        ),
        code=True,
    )


def _accounts(decision: ServedDecision) -> Iterator[Block]:
    yield Drawing(
        FIGURE,
        "The accounts' p-values on a logarithmic scale, smallest first, with the promised rate as a line.",
        "Accounts by p-value, corrected for their number. Left of the line: named.",
    )
    named = set(decision.verdict.accounts)
    rows: list[Row] = [
        (
            shorten(each.account, _LONGEST_NAME),
            str(each.asked),
            str(each.answered),
            f"{each.statistic:.2f}",
            p_value(each.p_value),
            p_value(each.adjusted),
            p_value(each.fit),
            Mark("FOUND", Tone.DERIVED) if each.account in named else "",
        )
        for each in sorted(decision.verdict.findings, key=lambda each: each.p_value)
    ]
    yield Table(_ACCOUNTS, tuple(rows))
    yield Paragraph(
        "Told: prompts where the suspect tells the answers apart. Statistic: the leaning to what was served, in "
        "standard deviations of what was served drawn again.",
        small=True,
    )


def _queries(decision: ServedDecision) -> Iterator[Block]:
    plan = decision.plan
    rows: list[Row] = []
    answers = Asked.of(plan, decision.transcript).answers
    leaning = leanings(plan, numbers_of(plan, answers, decision.transcript))
    for at, (query, each) in enumerate(zip(plan.queries, leaning, strict=True)):
        begun = f"{query.said[-40:]} | " if query.said else ""
        rows.append(
            (
                str(at),
                shorten(query.account, _LONGEST_NAME),
                query.at,
                shorten(query.prompt, _LONGEST_TEXT),
                shorten(begun + query.continuations[0], _LONGEST_TEXT),
                str(1 + int((each > each[0]).sum())) if each.any() else "-",
            )
        )
    yield Paragraph(
        "Rank: the place of what was served among its alternatives, by how far the suspect leans to each beyond the "
        "owner's model.",
        small=True,
    )
    yield Table(_QUERIES, tuple(rows[:MOST_QUERIES]))
    if len(rows) > MOST_QUERIES:
        yield Paragraph(f"The plan has {len(rows) - MOST_QUERIES} more.", small=True)
