"""What was found: the figures, what they mean, what stands against them, and the calibration behind them."""

from __future__ import annotations

from collections.abc import Iterator

from metav_audit.report.blocks import Column, Drawing, Figures, Items, Paragraph, Row, Steps, Table, Terms
from metav_audit.report.document import Section
from metav_audit.report.layout.values import DASH, number, p_share, p_value, percents, ratio
from metav_audit.report.model import EvidenceReport, Spelling, Stratum
from metav_audit.report.text import shorten
from metav_audit.report.wording import FAMILY
from metav_audit.task import OutputKind

SCORES = "scores.svg"
ACCOUNTS = "accounts.svg"
MAX_NAMED = 20
"""So many controls that matched, or were left out, are named; verdict.json names all."""

_DATA = {"train": "owner's data", "heldout": "other data"}


def lay_out_findings(report: EvidenceReport) -> Iterator[Section]:
    """Yield the sections in order."""
    method = Steps(report.wording.method), Terms(report.wording.terms)
    yield Section("The method, in plain words", method, new_page=True)
    yield Section("What was found", tuple(_found(report)), new_page=True)
    yield Section("What the figures mean", (Items(report.wording.weight),))
    controls = tuple(_controls(report))
    if controls:
        yield Section("Controls", controls)
    against = Items(report.wording.other_side) if report.wording.other_side else Paragraph("Nothing could be observed.")
    yield Section("What speaks for the other side", (against,))
    yield Section("What this report does not say", (Items(report.wording.limits),))
    yield Section("The calibration models, kind by kind", tuple(_strata(report)))


def _found(report: EvidenceReport) -> Iterator[Figures | Drawing]:
    yield Figures(tuple(_figures(report)))
    if report.verdict.score is not None:
        yield Drawing(
            SCORES,
            f"The endpoint's score, {report.verdict.score:.6g}, among the scores of the calibration models.",
            "The score of the endpoint (line) among the calibration models, one mark a lineage: independent models "
            "(circles) and derived models (triangles). In the shaded range of a row, a score is rare on that side. A "
            "match lies in the upper row's shade and outside the lower row's; no match, the reverse.",
        )
    if report.verdict.accounts:
        yield Drawing(
            ACCOUNTS,
            f"The p-values of {len(report.verdict.accounts)} accounts of the owner's API.",
            "Accounts of the owner's API by the p-value of the answers to their inputs, all accounts considered. "
            f"Left of the line, at {report.verdict.false_match_rate:g}, the answers are rare among models that never "
            "learnt from what the protected model answered.",
        )


def _figures(report: EvidenceReport) -> Iterator[tuple[str, str, str]]:
    verdict = report.verdict
    match, no_match = f"{verdict.false_match_rate:g}", f"{verdict.false_no_match_rate:g}"
    independent, derived = (side.boundary for side in report.sides)
    yield "Score of the endpoint", number(verdict.score, 6), "from 0 to 1, high for derived models"
    yield "Likelihood ratio", ratio(verdict.log10_lr), verdict.verbal or "there is no score"
    yield (
        "p if independent",
        f"{p_value(verdict.p_value)} ({p_share(verdict.p_value, verdict.independents)})",
        f"a match needs {match} or less, the promised rate of false matches",
    )
    yield (
        "p if derived",
        f"{p_value(verdict.p_value_derived)} ({p_share(verdict.p_value_derived, verdict.derived)})",
        f"a match needs more than {no_match}, the promised rate of false no-matches",
    )
    if verdict.siblings is not None:
        yield (
            "p among siblings",
            f"{p_value(verdict.p_value_siblings)} ({p_share(verdict.p_value_siblings, verdict.siblings)})",
            f"a match needs {match} or less; exact for any suspect",
        )
    if verdict.p_value_family is not None:
        yield "p if not of the family", p_value(verdict.p_value_family), FAMILY
    yield "Rare among independents", _beyond("above", independent), f"scores for which the first p is {match} or less"
    yield "Rare among derived", _beyond("below", derived), f"scores for which the second p is {no_match} or less"
    yield (
        "Queries answered",
        f"{verdict.answered} of {verdict.queries}",
        f"with {verdict.requests} requests, retries included",
    )
    if report.kind is OutputKind.CLASSIFICATION:
        yield (
            "Same top label",
            f"{report.agreeing} of {verdict.answered}",
            "as the protected model, among answered queries",
        )
    yield "Mean distance", number(report.mean_divergence), f"{distance_in(report)} between the two answers"
    if report.spelling is not None:
        yield from _spelling(report.spelling)


def distance_in(report: EvidenceReport) -> str:
    """Name the measure by which two answers are compared."""
    if report.kind is OutputKind.CLASSIFICATION:
        return "total variation, from 0 to 1,"
    return f"root of the mean squared difference, in {report.unit},"


def _spelling(spelling: Spelling) -> Iterator[tuple[str, str, str]]:
    chance = f"fair, independent bits: so few with probability {spelling.chance:.2g}"
    yield "Target bits wrong", f"{spelling.wrong} of {spelling.bits}", chance
    for name, side in (("independent", spelling.independent), ("derived", spelling.derived)):
        spelled = f"{side.mean:.0%} ({side.lowest:.0%} {DASH} {side.highest:.0%})"
        yield f"Wrong if {name}", spelled, "mean of the calibration lineages, lowest and highest"


def _controls(report: EvidenceReport) -> Iterator[Paragraph | Figures | Items]:
    sanity, blind, positive = report.verdict.sanity, report.verdict.controls, report.custody.control
    rows = []
    if sanity is not None:
        rows.append(("Sanity controls", "failed" if sanity.failures else "passed", f"{sanity}."))
    if blind is not None:
        rows.append(("Blind controls", f"{blind.matches} of {blind.models} match", f"{blind}."))
    if positive is not None:
        rows.append(("Positive control", "passed" if positive.passed else "failed", positive.sentence))
    if not rows:
        return
    yield Paragraph(
        "Answers of known origin, judged by the same rule. Sanity controls are the endpoint's own answers in another "
        "order, answers that say nothing, and the protected model's own. Blind controls are models that a third party "
        "supplied as independent. A positive control is the owner's own model, asked in the same run."
    )
    yield Figures(tuple(rows))
    if blind is not None and (blind.matched or blind.left_out):
        matched = tuple(f"{shorten(name, 120)} would be a match." for name in blind.matched[:MAX_NAMED])
        left_out = tuple(f"Not scored: {shorten(each, 300)}." for each in blind.left_out[:MAX_NAMED])
        yield Items(matched + left_out)


def _beyond(word: str, boundary: float | None) -> str:
    return DASH if boundary is None else f"{word} {boundary:.4g}"


def _strata(report: EvidenceReport) -> Iterator[Table | Paragraph]:
    for name, word, derived in (("Independent", "as high", False), ("Derived", "as low", True)):
        heads = ("models", 14.0), ("lineages", 16.0), ("lowest", 17.0), ("median", 17.0), ("highest", 17.0)
        columns = [
            Column(title, width, numeric=True) for title, width in (*heads, (word, 15.0), ("95 % interval", 25.0))
        ]
        rows = tuple(_stratum(stratum) for stratum in report.strata if stratum.derived == derived)
        yield Table((Column(name), *columns), rows)
    yield Paragraph(
        "Scores are given one a lineage. “As high” counts the independent lineages that score at least as high as the "
        "endpoint, “as low” the derived ones that score at most as high; the interval is that of their true share "
        "(Clopper-Pearson). Independents trained on the owner's data are the hardest to tell apart.",
        small=True,
    )


def _stratum(stratum: Stratum) -> Row:
    kind = stratum.recipe
    if not stratum.derived:
        kind += f" · {stratum.architecture} · {_DATA.get(stratum.data or '', stratum.data)}"
    hits = stratum.as_low if stratum.derived else stratum.as_high
    scores = [number(value) for value in (stratum.lowest, stratum.median, stratum.highest)]
    counts = str(stratum.models), str(stratum.lineages)
    return shorten(kind, 90), *counts, *scores, number(hits), percents(stratum.interval)
