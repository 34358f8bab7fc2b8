"""What the pages of an audit of served answers say."""

from __future__ import annotations

from collections.abc import Iterator

from metav_audit.report.blocks import Block, Column, Items, Ledger, Paragraph, Row
from metav_audit.report.document import Document
from metav_audit.report.layout.drawn import LONGEST_NAME, drawing_of, lay_out, ledger_of, queries_of, table_of
from metav_audit.report.layout.values import p_value
from metav_audit.report.text import shorten
from metav_audit.task.texts import Shows
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.drawn_folder import ServedDecision
from metav_audit.verdict.served import leanings, numbers_of

FIGURE = "served.svg"
_LONGEST_TEXT = 160
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
    return lay_out(
        decision,
        "Audit of served answers",
        "was this model trained on answers that our model was asked for?",
        _outcome(decision, sealed),
        _accounts(decision),
        _EXPLAINED,
        ("Prompts asked", _queries(decision)),
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
    left_out = "; ".join(f"{count}: {why}" for why, count in sorted(plan.left_out.items())) or "none"
    alternatives = len(plan.queries[0].continuations) - 1
    yield ledger_of(
        decision,
        "prompts",
        [
            ("It was asked", f"{_ASKED[plan.shows]}; {alternatives} alternatives a prompt"),
            ("Model that served and drew", shorten(plan.model, 200)),
            ("Rows of the log left out", left_out),
        ],
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
    yield drawing_of(FIGURE)
    yield table_of(decision.verdict, after=[(Column("fit", 20, numeric=True), lambda each: p_value(each.fit))])
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
                shorten(query.account, LONGEST_NAME),
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
    yield from queries_of(_QUERIES, rows)
