"""What the pages of an audit by coins say."""

from __future__ import annotations

from collections.abc import Iterator

from metav_audit.evidence import Attested
from metav_audit.report.blocks import Block, Column, Drawing, Items, Ledger, Mark, Paragraph, Row, Table, Tone
from metav_audit.report.document import Document, Section
from metav_audit.report.layout.values import moment, p_value
from metav_audit.report.text import shorten
from metav_audit.verdict import VerdictOutcome
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.coin_folder import CoinDecision

FIGURE = "coins.svg"
MOST_QUERIES = 400
"""Queries listed; the plan has all of them."""
_LONGEST_NAME = 60
_ACCOUNTS = (
    Column("Account"),
    Column("asked", 16, numeric=True),
    Column("told", 14, numeric=True),
    Column("undecided", 22, numeric=True),
    Column("statistic", 20, numeric=True),
    Column("p", 20, numeric=True),
    Column("corrected", 22, numeric=True),
    Column("", 18),
)
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
    verdict = decision.verdict
    name = shorten(verdict.endpoint, _LONGEST_NAME)
    found = verdict.outcome is VerdictOutcome.MATCH
    return Document(
        title=f"Audit by coins: {name}",
        header=f"Audit by coins · {name}",
        stamp=f"plan {verdict.plan_sha256[:12]}",
        footer="metav-audit · was this model trained on answers that were served with our coins?",
        date=decision.transcript.finished or decision.transcript.started,
        cover=None,
        sections=(
            Section("A match" if found else "Inconclusive", tuple(_outcome(decision, attested))),
            Section("Accounts", tuple(_accounts(decision))),
            Section("How to read this", (_EXPLAINED,)),
            Section("Inputs asked", tuple(_queries(decision)), new_page=True),
        ),
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
    verdict = decision.verdict
    yield Items(verdict.reasons)
    yield Paragraph(attested.sentence, title="Since when the key is fixed")
    asked = f"{verdict.answered} of {verdict.queries} inputs answered, {verdict.requests} requests"
    dither = decision.plan.dither
    yield Ledger(
        (
            ("Endpoint", f"{shorten(verdict.endpoint, _LONGEST_NAME)}, {shorten(verdict.url, 200)}"),
            ("Asked", f"{asked}, from {moment(decision.transcript.started)}"),
            ("Dither", f"leads moved by {dither.epsilon:g} nats, labels changed below {dither.undecided:g}"),
            ("Promised rate of false matches", f"{verdict.rate:g}"),
        )
    )
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
            str(each.undecided),
            f"{each.statistic:.2f}",
            p_value(each.p_value),
            p_value(each.adjusted),
            Mark("FOUND", Tone.DERIVED) if each.account in named else "",
        )
        for each in sorted(decision.verdict.findings, key=lambda each: each.p_value)
    ]
    yield Table(_ACCOUNTS, tuple(rows))
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
                shorten(query.account, _LONGEST_NAME),
                query.at,
                f"{shorten(labels[best], 20)} {query.own[best] / sum(query.own):.3f}",
                "heads" if coins[at] > 0 else "tails",
                shorten(served, 20),
                shorten(labels[shown.index(max(shown))], 20) if shown else "-",
            )
        )
    yield Table(_QUERIES, tuple(rows[:MOST_QUERIES]))
    if len(rows) > MOST_QUERIES:
        yield Paragraph(f"The plan has {len(rows) - MOST_QUERIES} more.", small=True)
