"""The annex: the chain of custody, the files and their hashes, and how to check all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from metav_audit.evidence import Attested
from metav_audit.report.attachments import MAX_ATTACHED
from metav_audit.report.blocks import Block, Column, Drawing, Drawings, Figures, Ledger, Paragraph, Steps, Table
from metav_audit.report.document import Section
from metav_audit.report.layout.certification import certification
from metav_audit.report.layout.values import DASH, moment, number, size
from metav_audit.report.model import EvidenceReport, RatioCheck
from metav_audit.report.text import shorten

TIPPETT, PAV = "tippett.svg", "pav.svg"
MAX_VALUE = 1000
"""Longer values are cut; report.json has them whole."""


def lay_out_annex(report: EvidenceReport) -> Iterator[Section]:
    """Yield the annexes in order, lettered."""
    annexes: list[tuple[str, Iterator[Block], bool]] = [
        ("Chain of custody", _custody(report), True),
        ("Files and hashes", _files(report), False),
        *([("How such likelihood ratios fare", _ratios(report.ratios), False)] if report.ratios else []),
        ("The thresholds that decide", _rules(report), False),
        ("How to check this report", _checking(), False),
        ("Form of certification, US Fed. R. Evid. 902(13) and 902(14)", certification(report), True),
    ]
    for letter, (title, blocks, new_page) in zip("ABCDEFGH", annexes, strict=False):
        yield Section(f"Annex {letter}. {title}", tuple(blocks), new_page)


def _custody(report: EvidenceReport) -> Iterator[Block]:
    custody, endpoint = report.custody, report.endpoint
    yield Table(
        (Column("Order of events", 44), Column("time", 42), Column("what vouches for it")),
        tuple(_events(report)),
    )
    yield Paragraph("", title="Who asked")
    yield _ledger(custody.operator or {"operator": "none is named"}, code=False)
    yield Paragraph("", title="Who was asked, and how")
    yield _ledger(
        {
            "endpoint": endpoint.name,
            "asked at": endpoint.url,
            **_peers(report),
            "adapter": f"{endpoint.adapter}, scores read as {endpoint.scores.value}",
            **{f"option {name}": value for name, value in endpoint.options.items() if value not in (None, {}, [])},
        }
    )
    if report.identities:
        yield Paragraph("", title="How the answering server named itself")
        yield _ledger(*report.identities)
    yield Paragraph("", title="How it went")
    yield _ledger(
        {
            "requests": _requests(report),
            "repeated inputs": report.steadiness,
            "clocks": custody.clock,
            "kept": f"{custody.bodies} bodies of requests and responses, byte for byte",
            "seen of the model": report.verdict.view,
            **({} if custody.control is None else {"positive control": custody.control.sentence}),
        },
        code=False,
    )
    yield Paragraph("", title="What it was done with")
    yield _ledger(
        {"protected model": report.model_name, "method": report.method},
        dict(report.settings),
        {f"software, {name}": value for name, value in report.software.items()},
    )


def _peers(report: EvidenceReport) -> dict[str, str]:
    """Put the host that was named beside the addresses that answered; nothing where no address was recorded."""
    addresses = dict.fromkeys(each["address"] for each in report.identities if "address" in each)
    if not addresses:
        return {}
    return {"host": f"{urlsplit(report.endpoint.url).netloc}, answered from {', '.join(addresses)}"}


def _events(report: EvidenceReport) -> Iterator[tuple[str, ...]]:
    custody = report.custody
    yield _attested("The bundle is fixed", custody.commitment)
    yield _attested("The bundle is made again", custody.rebuild)
    if custody.replay is not None:
        yield _attested("The target is trained again", custody.replay)
    yield "First query", moment(report.started), "the auditor's clock; the first record of transcript.jsonl"
    yield "Last record", moment(report.finished), "the auditor's clock; the last record of transcript.jsonl"
    yield _attested("The audit is sealed", custody.seal)


def _attested(event: str, attested: Attested) -> tuple[str, ...]:
    time = moment(attested.at) if attested.at else DASH
    return event, time, attested.sentence


def _requests(report: EvidenceReport) -> str:
    failed = sum(failure.requests for failure in report.failures)
    again = sum(query.attempts > 1 for query in report.queries)
    return (
        f"{report.verdict.requests} sent, repeated inputs and retries included; of those for queries, {failed} failed; "
        f"{again} queries were asked more than once; see “Failures and exclusions”"
    )


def _files(report: EvidenceReport) -> Iterator[Block]:
    files = report.custody.files
    yield Table(
        (Column("File", 46), Column("bytes", 22, numeric=True), Column("SHA-256")),
        tuple((file.name, size(file.size), file.sha256) for file in files),
    )
    left_out = [file.name for file in files if file.size > MAX_ATTACHED]
    note = (
        "The PDF form of this report carries these files and report.csv as attachments, unaltered; a hyphen stands for "
        "the slash in their names. Whoever has them has the fingerprint: a model can be trained against inputs that "
        "are known."
    )
    if left_out:
        note += (
            f" Not attached, for being larger than {size(MAX_ATTACHED)} bytes: {', '.join(left_out)}; the hash stands "
            "for the file."
        )
    yield Paragraph(note, small=True)
    yield Paragraph("", title="Hashes that the files themselves hold, SHA-256")
    yield _ledger(dict(report.hashes))


def _rules(report: EvidenceReport) -> Iterator[Block]:
    yield Paragraph(
        "What the program itself holds, the same for every endpoint. A commitment to the bundle states them as well; "
        "the promised rates of errors, the calibration and the meta-verifier come from the bundle."
    )
    rows = tuple((name, _said(value)) for name, value in _flat(report.rules))
    yield Table((Column("Threshold", 84), Column("value")), rows)


def _flat(rules: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield thresholds by name in words, those of a group after the group's name."""
    for name, value in rules.items():
        words = above + name.replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{words}: ")
        else:
            yield words, value


def _ratios(check: RatioCheck) -> Iterator[Block]:
    yield Paragraph(
        "Each calibration lineage is weighed as the endpoint was, by a table fitted to all the others. The figures "
        "show what such likelihood ratios are worth on models of known origin."
    )
    yield Figures(
        (
            ("Cost Cllr", number(check.cllr, 3), "0 for perfect ratios, 1 for ratios that say nothing"),
            ("Lowest possible Cllr", number(check.cllr_min, 3), "with the best calibration of these very lineages"),
            (
                "Misleading, independent",
                f"{check.misleading_independent} of {len(check.independent)}",
                "independent lineages with a ratio above 1",
            ),
            (
                "Misleading, derived",
                f"{check.misleading_derived} of {len(check.derived)}",
                "derived lineages with a ratio below 1",
            ),
        )
    )
    tippett = Drawing(
        TIPPETT,
        "Tippett plot: for every likelihood ratio, the share of derived and of independent lineages that reach it.",
        "Tippett plot: the share of lineages whose ratio is at least as high, derived (solid) and independent "
        "(dashed). Right of the line at 0, independent ones mislead; left of it, derived ones.",
    )
    pav = Drawing(
        PAV,
        "PAV plot: each lineage's likelihood ratio against the one that fits these lineages best.",
        "PAV plot: each lineage's ratio against the one that fits these lineages best (pool adjacent violators). Well "
        "calibrated ratios lie near the diagonal; where one side stands alone, the best fit is drawn at the edge.",
    )
    yield Drawings((tippett, pav))


def _checking() -> Iterator[Block]:
    yield Steps(
        (
            (
                "The files are unaltered.",
                "In the audit's folder, “sha256sum --check SHA256SUMS” compares every file with its hash; any tool "
                "that computes SHA-256 gives the values above.",
            ),
            (
                "The verdict follows from them.",
                "“metav-audit verify DIR” checks hashes, chain, signatures and time stamps, encodes the inputs and "
                "decodes the answers again, and decides and writes this report anew, offline, step by step.",
            ),
            (
                "The keys are the ones you know.",
                "A folder that somebody signed anew is consistent in itself. Name the keys that you have from "
                "elsewhere, “--auditor KEY --owner KEY --tsa-cert ROOTS”: the last line says whether all of it is "
                "authenticated.",
            ),
            (
                "The bundle is not the product of the verdict.",
                "Only a commitment that was time-stamped before the first query shows that inputs, meta-verifier and "
                "thresholds were not chosen afterwards; see “Order of events”.",
            ),
        )
    )


def _ledger(*groups: Mapping[str, Any], code: bool = True) -> Ledger:
    rows = [(name, shorten(_said(value), MAX_VALUE)) for group in groups for name, value in group.items()]
    return Ledger(tuple((shorten(name, 120), value) for name, value in rows), code)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
