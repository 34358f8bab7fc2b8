"""Query by query: the inputs, both answers, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metav_audit.progress import printable
from metav_audit.report.blocks import Bar, Card, Cards, Column, Drawing, Paragraph, Picture, Pictures, Table
from metav_audit.report.document import Section
from metav_audit.report.layout.findings import distance_in
from metav_audit.report.layout.values import DASH, number_ranges
from metav_audit.report.model import EvidenceReport, Query, RequestLog
from metav_audit.report.text import shorten
from metav_audit.task import OutputKind

MAX_CARDS = 32
MAX_BARS = 5
MAX_PICTURES = 120
MAX_LABEL = 15
MAX_ROW = 600
AGREEMENT = "agreement.svg"


def lay_out_answers(report: EvidenceReport) -> Iterator[Section]:
    """Yield the sections in order."""
    if comparable(report.queries):
        yield Section("Query by query", (_agreement(report),))
    pictures = tuple(Picture(picture_name(query), query.number) for query in report.queries if query.picture)
    if pictures:
        yield _pictures(report, pictures)
    if any(query.row for query in report.queries):
        yield _rows(report.queries)
    if report.requests is not None:
        yield Section("The requests that were repeated", (_repeated(report.requests),))
    yield Section("Failures and exclusions", tuple(_failures(report)))
    yield Section("The answers, beside the protected model's", tuple(_answers(report)))


def _repeated(log: RequestLog) -> Table:
    heads = (("query", 16), ("account", 50), ("sent at", 50), ("row of the day", None))
    rows = tuple((str(one.query), shorten(one.account, 60), one.at, f"{one.row} of {one.day}") for one in log.repeated)
    return Table(tuple(Column(title, width) for title, width in heads), rows)


def _pictures(report: EvidenceReport, pictures: tuple[Picture, ...]) -> Section:
    generated = report.kind is OutputKind.GENERATION
    what, title = ("outputs", "The outputs") if generated else ("inputs", "The inputs")
    shown = title if len(pictures) <= MAX_PICTURES else f"The first {MAX_PICTURES} of {len(pictures)} {what}"
    told = ": left the protected model's, right the endpoint's," if generated else " sent to the endpoint,"
    note = Paragraph(f"{shown}{told} numbered as in the transcript.", small=True)
    return Section(title, (Pictures(pictures[:MAX_PICTURES]), note))


def _rows(queries: Sequence[Query]) -> Section:
    rows = tuple(
        (str(query.number), shorten("; ".join(f"{name}: {cell}" for name, cell in query.row.items()), MAX_ROW))
        for query in queries[:MAX_PICTURES]
        if query.row
    )
    return Section("The inputs", (Table((Column("query", 15), Column("what was sent to the endpoint")), rows),))


def comparable(queries: Sequence[Query]) -> bool:
    """Say whether any answer shows all that a distance needs."""
    return any(query.divergence is not None for query in queries)


def picture_name(query: Query) -> str:
    """Name a query's picture file."""
    return f"query-{query.number}.png"


def shown_pictures(queries: Sequence[Query]) -> dict[str, bytes]:
    """Return the pictures that the pages name, by name: not those of a thousand queries."""
    shown = [query for query in queries if query.picture][:MAX_PICTURES] + choose_cards(queries)
    return {picture_name(query): query.picture for query in shown if query.picture}


def choose_cards(queries: Sequence[Query]) -> list[Query]:
    """Return all queries, or where they are too many the first, and of the rest the most divergent."""
    if len(queries) <= MAX_CARDS:
        return list(queries)
    first, rest = queries[: MAX_CARDS // 2], queries[MAX_CARDS // 2 :]
    divergent = sorted(rest, key=lambda query: (-(query.divergence or 0.0), query.number))
    return sorted([*first, *divergent[: MAX_CARDS - len(first)]], key=lambda query: query.number)


def _agreement(report: EvidenceReport) -> Drawing:
    classes = report.kind is OutputKind.CLASSIFICATION
    measure = "total variation distance: 0 the same, 1 disjoint" if classes else distance_in(report).rstrip(",")
    dots = ": full where the top label is the protected model's, hollow where it is another" if classes else ""
    return Drawing(
        AGREEMENT,
        "For each query, how far the endpoint's answer lies from the protected model's, beside what is usual among "
        "derived and among independent calibration models.",
        f"How far each answer lies from the protected model's own ({measure}). The queries stand in the order in "
        f"which independent models come apart. Dots are the endpoint's answers{dots}. The lines are medians of the "
        "calibration models: dashed and blue for independent ones, solid and orange for derived ones. All figures are "
        "in report.csv.",
    )


def _answers(report: EvidenceReport) -> Iterator[Paragraph | Cards]:
    cards = choose_cards(report.queries)
    scale = _scale_of(report, cards)
    notes = [f"Upper bars, orange: protected model; lower bars, dark: endpoint. {scale.words}"] if report.labels else []
    if len(report.labels) > MAX_BARS:
        notes.append(f"Each query shows the {MAX_BARS} classes that either favours.")
    if len(cards) < len(report.queries):
        notes.append(
            f"Shown are {len(cards)} of {len(report.queries)} queries: the first, and of the others the most "
            "divergent. All are in report.csv."
        )
    if notes:
        yield Paragraph(" ".join(notes), small=True)
    width = min(MAX_LABEL, max((len(printable(label)) for label in report.labels), default=0))
    yield Cards(tuple(_card(query, report.labels, scale) for query in cards), width)


def _card(query: Query, labels: Sequence[str], scale: _Scale) -> Card:
    answered = query.status == "answered"
    notes = [_LABELS[query.agrees]] if answered else ["no answer"]
    if query.divergence is not None:
        notes.append(f"distance {query.divergence:.3f}")
    note = " · ".join(note for note in notes if note)
    return Card(
        query.number,
        picture_name(query) if query.picture else None,
        answered,
        note,
        tuple(_bars(query, labels, scale)),
    )


_LABELS = {True: "same label", False: "other label", None: ""}


def _bars(query: Query, labels: Sequence[str], scale: _Scale) -> Iterator[Bar]:
    """Keep the classes to which the target or the suspect gives most, in the order of the labels."""
    suspect = query.suspect or (None,) * len(labels)
    most = sorted(range(len(labels)), key=lambda index: (-max(query.target[index], suspect[index] or 0.0), index))
    for index in sorted(most[:MAX_BARS]):
        label, shown = shorten(printable(labels[index]), MAX_LABEL), suspect[index]
        yield Bar(label, scale.share(query.target[index]), None if shown is None else scale.share(shown))


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the left and the right end of a bar stand for."""

    low: float
    high: float
    words: str

    def share(self, value: float) -> float:
        return round(min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 4)


def _scale_of(report: EvidenceReport, queries: Sequence[Query]) -> _Scale:
    """Choose what a full bar stands for: smooth answers would be short bars at 1; values may lie anywhere."""
    values = [value for query in queries for value in (*query.target, *(query.suspect or ())) if value is not None]
    if report.kind is OutputKind.CLASSIFICATION:
        full = min(full for full in (0.25, 0.5, 1.0) if full >= min(1.0, max(values)))
        return _Scale(0.0, full, f"Full width is probability {full:g}.")
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1.0
    return _Scale(low, high, f"Bars go from {low:.4g} to {high:.4g}.")


def _failures(report: EvidenceReport) -> Iterator[Paragraph | Table]:
    if report.exclusions:
        rows = tuple((shorten(item.reason, 400), number_ranges(item.queries)) for item in report.exclusions)
        yield Table((Column("Queries left out of the verdict, and why"), Column("queries", 45)), rows)
    else:
        yield Paragraph("Every query was answered; none was left out.")
    if not report.failures:
        yield Paragraph("No request failed.")
        return
    columns = Column("Failed requests", 30), Column("HTTP", 15), Column("what was wrong"), Column("requests", 20, True)  # noqa: FBT003
    yield Table(
        columns,
        tuple(
            (item.outcome, str(item.http_status or DASH), shorten(item.error or DASH, 300), str(item.requests))
            for item in report.failures
        ),
    )
