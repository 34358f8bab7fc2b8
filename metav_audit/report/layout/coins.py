"""What the pages of an audit by coins say."""

from __future__ import annotations

from collections.abc import Iterator

from metav_audit.evidence import Attested
from metav_audit.report.blocks import Block, Column, Items, Ledger, Paragraph, Row
from metav_audit.report.document import Document
from metav_audit.report.layout.drawn import LONGEST_NAME, drawing_of, lay_out, ledger_of, queries_of, table_of
from metav_audit.report.text import shorten
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.drawn_folder import CoinDecision

FIGURE = "coins.svg"
_QUERIES = (
    Column("", 12, numeric=True),
    Column("Account"),
    Column("when", 44),
    Column("the model", 30),
    Column("coin", 16),
    Column("served", 24),
    Column("the suspect", 26),
)


def lay_out_coins(decision: CoinDecision, attested: Attested) -> Document:
    """Return the pages."""
    return lay_out(
        decision,
        "Audit by coins",
        "was this model trained on answers that were served with our coins?",
        _outcome(decision, attested),
        _accounts(decision),
        _EXPLAINED,
        ("Inputs asked", _queries(decision)),
    )


_EXPLAINED = Paragraph(
    "The owner's API moved every answer a little, up or down by a secret coin for each account and input. Whoever "
    "trains on what an account was served learns its coins; whoever did not cannot know them, whatever else they know. "
    "The suspect was asked the inputs where the model was least decided. Its answers were held against the coins of "
    "record, and against coins drawn again 9,999 times: p is the share of draws that fit it no worse. That is exact "
    "for any suspect, a copy of the model itself included. Corrected: the same for all accounts together (Holm 1979). "
    "No match does not clear a suspect: thieves who asked through other accounts, asked little, or averaged over many "
    "accounts go unfound."
)


def _outcome(decision: CoinDecision, attested: Attested) -> Iterator[Block]:
    verdict, dither = decision.verdict, decision.plan.dither
    yield Items(verdict.reasons)
    yield Paragraph(attested.sentence, title="Since when the key is fixed")
    moved = f"leads moved by {dither.epsilon:g} nats, labels changed below {dither.undecided:g}"
    yield ledger_of(decision, "inputs", [("Dither", moved)])
    yield Ledger(
        (
            ("SHA-256 of the key", dither.key_sha256),
            ("Head of the request log", decision.plan.log),
            ("SHA-256 of the plan", verdict.plan_sha256),
            ("Head of the transcript", verdict.transcript_sha256),
        ),
        code=True,
    )


def _accounts(decision: CoinDecision) -> Iterator[Block]:
    yield drawing_of(FIGURE)
    undecided = Column("undecided", 22, numeric=True)
    yield table_of(decision.verdict, before=[(undecided, lambda each: str(each.undecided))])
    yield Paragraph(
        "Told: answers that name one of the model's two likeliest classes. Undecided: inputs where the coin decided "
        "the label served; from labels alone, these tell most. Statistic: the leaning to the coins, in standard "
        "deviations of the coins drawn again.",
        small=True,
    )


def _queries(decision: CoinDecision) -> Iterator[Block]:
    plan, labels = decision.plan, decision.plan.task.output.labels
    coins = plan.coins
    rows: list[Row] = []
    for at, (query, exchange) in enumerate(zip(plan.queries, Asked.of(plan, decision.transcript).queries, strict=True)):
        shown = [] if exchange.answer is None else [-1e9 if each is None else each for each in exchange.answer.scores]
        best = max(range(len(query.own)), key=query.own.__getitem__)
        served = query.served if isinstance(query.served, str) else labels[query.served.index(max(query.served))]
        rows.append(
            (
                str(at),
                shorten(query.account, LONGEST_NAME),
                query.at,
                f"{shorten(labels[best], 20)} {query.own[best] / sum(query.own):.3f}",
                "heads" if coins[at] > 0 else "tails",
                shorten(served, 20),
                shorten(labels[shown.index(max(shown))], 20) if shown else "-",
            )
        )
    yield from queries_of(_QUERIES, rows)
