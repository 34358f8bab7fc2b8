"""What a summary's pages say: counts, a line an endpoint, and how to read so many verdicts at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from metav_audit.report.blocks import Block, Column, Link, Mark, Paragraph, Row, Table, Tone
from metav_audit.report.document import Document, Section
from metav_audit.report.entries import Entry, corrected
from metav_audit.report.layout.values import DASH, moment, number, p_value, ratio
from metav_audit.report.text import shorten

_MARKS = {
    "match": Mark("MATCH", Tone.DERIVED),
    "no_match": Mark("NO MATCH", Tone.INDEPENDENT),
    "inconclusive": Mark("INCONCLUSIVE", Tone.NEUTRAL),
    "": Mark("NO VERDICT", Tone.NEUTRAL),
}
_WORDS = (("match", "match"), ("", "without a verdict"), ("inconclusive", "inconclusive"), ("no_match", "no match"))
_ENDPOINT = (Column("Endpoint", 36),)
_ENDPOINT_AND_BUNDLE = (Column("Endpoint", 27), Column("bundle", 21))
_COLUMNS = (
    Column("outcome", 29),
    Column("score", 17, numeric=True),
    Column("LR", 12, numeric=True),
    Column("p indep.", 15, numeric=True),
    Column("corrected", 16, numeric=True),
    Column("p derived", 17, numeric=True),
    Column("answered", 17, numeric=True),
    Column("requests", 16, numeric=True),
    Column("registration", 26),
    Column("why"),
)


def lay_out_summary(entries: Sequence[Entry]) -> Document:
    """Return the pages; ``entries`` are in order."""
    suspects = [entry for entry in entries if not entry.is_control]
    dates = [entry.report.finished or entry.report.started for entry in entries if entry.report]
    bundles = sorted({entry.report.verdict.bundle_sha256 for entry in entries if entry.report})
    return Document(
        title=f"Audit summary: {_asked(suspects)}",
        header="Audit summary",
        stamp="bundle " + ", ".join(digest[:12] for digest in bundles[:4]) if bundles else "no verdict",
        footer="metav-audit · summary of audits; each endpoint's folder holds its evidence",
        date=max(dates, default=""),
        cover=None,
        sections=(Section(f"{_asked(suspects)} audited", tuple(_blocks(entries, suspects))),),
        landscape=True,
    )


def _blocks(entries: Sequence[Entry], suspects: Sequence[Entry]) -> Iterator[Block]:
    counts = Counter(entry.outcome for entry in suspects)
    told = ", ".join(f"{counts[outcome]} {words}" for outcome, words in _WORDS if counts[outcome])
    yield Paragraph(f"{told}. {_when(entries)}")
    if any(entry.stands is False for entry in suspects):
        yield Paragraph(
            "The run's positive control did not come out as a match: no verdict of this run stands.",
            title="The positive control failed",
        )
    p_values = corrected(entries)
    several = any(entry.bundle for entry in entries)
    first = _ENDPOINT_AND_BUNDLE if several else _ENDPOINT
    yield Table(
        (*first, *_COLUMNS),
        tuple(_row(entry, p_values.get(entry.folder), several=several) for entry in entries),
    )
    yield Paragraph(_notes(suspects, p_values), small=True)


def _when(entries: Sequence[Entry]) -> str:
    reports = [entry.report for entry in entries if entry.report]
    if not reports:
        return ""
    models = sorted({report.model_name for report in reports})
    first = min(report.started for report in reports)
    last = max(report.finished or report.started for report in reports)
    named = shorten(", ".join(models), 200)
    fingerprints = "fingerprint" if len(models) == 1 else "fingerprints"
    return f"Each was asked the {fingerprints} of {named}, between {moment(first)} and {moment(last)}."


def _row(entry: Entry, corrected_p: float | None, *, several: bool) -> Row:
    name = shorten(entry.endpoint, 80) + (" (control)" if entry.is_control else "")
    bundle = (shorten(entry.bundle, 80) or DASH,) if several else ()
    mark = _MARKS[entry.outcome]
    if entry.report is None:
        return name, *bundle, mark, *[DASH] * 8, shorten(entry.error or "", 300)
    verdict, custody = entry.report.verdict, entry.report.custody
    return (
        Link(name, f"{quote(entry.folder)}/report.html"),
        *bundle,
        mark,
        number(verdict.score),
        ratio(verdict.log10_lr),
        p_value(verdict.p_value_match),
        p_value(corrected_p),
        p_value(verdict.p_value_derived),
        f"{verdict.answered} of {verdict.queries}",
        str(verdict.requests),
        f"{custody.commitment.status}; seal: {custody.seal.status}",
        shorten("; ".join(verdict.reasons), 300),
    )


def _notes(suspects: Sequence[Entry], told: Mapping[str, float]) -> str:
    notes = [
        "The gravest come first: matches, then endpoints without a verdict, inconclusive ones, and those that do not "
        "match; within them, the highest likelihood ratio. LR: how many times more probable such a score is for a "
        "derived model than for an independent one. p indep.: the larger of the two p-values that a match needs."
    ]
    if len(suspects) > 1 and told:
        rate = max(entry.report.verdict.false_match_rate for entry in suspects if entry.report)
        matches = [entry for entry in suspects if entry.outcome == "match"]
        kept = [
            shorten(entry.folder if entry.bundle else entry.name, 80) for entry in matches if told[entry.folder] <= rate
        ]
        notes.append(
            f"Corrected: the same for {_asked(suspects)} asked (Holm 1979). The more {_what(suspects)} are "
            "asked, the less one match alone says: whoever accuses those that are corrected to at most "
            f"{rate:g} accuses an innocent one in at most that share of such runs. Here that is "
            f"{', '.join(kept) or 'none'} of {_count(len(matches), 'match', 'matches')}. "
            "A p-value is never finer than the bundle's lineages and "
            "siblings allow: many endpoints take many of them."
        )
    return " ".join(notes)


def _asked(suspects: Sequence[Entry]) -> str:
    """Count what was asked: endpoints, and the bundles that each was asked with where there were several."""
    bundles = len({entry.bundle for entry in suspects} - {""})
    endpoints = _count(len({entry.endpoint for entry in suspects}) if bundles else len(suspects), "endpoint")
    return f"{endpoints} with {_count(bundles, 'bundle')}" if bundles else endpoints


def _what(suspects: Sequence[Entry]) -> str:
    return "endpoints and bundles" if any(entry.bundle for entry in suspects) else "endpoints"


def _count(number_: int, what: str, plural: str | None = None) -> str:
    return f"{number_} {what if number_ == 1 else plural or what + 's'}"
