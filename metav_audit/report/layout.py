"""What the PDF template prints, in JSON types: figures already set as text, foreign text already made printable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from metav_audit.report.model import EvidenceReport, Query, Spelling, Stratum
from metav_audit.report.text import printable, shorten
from metav_audit.verdict import Verdict
from metav_audit.weight import ratio_text

MAX_CARDS = 32
MAX_BARS = 5
MAX_PICTURES = 120
MAX_LABEL = 15
DASH = "\N{EN DASH}"
_DATA = {"train": "owner's data", "heldout": "other data"}
_BADGES = {"match": "MATCH", "no_match": "NO MATCH", "inconclusive": "INCONCLUSIVE"}

Fields = dict[str, Any]


def lay_out(report: EvidenceReport) -> Fields:
    """Return the template's data; pictures stand in it as the names that ``picture_name`` gives."""
    cards = choose_cards(report.queries)
    fields = {
        "date": _date(report.finished or report.started),
        "model": report.model_name,
        "endpoint": shorten(report.endpoint.name, 120),
        "header": shorten(report.endpoint.name, 40),
        "bundle": report.verdict.bundle_sha256[:12],
        "url": shorten(report.endpoint.url, 160),
        "outcome": report.verdict.outcome.value,
        "badge": _BADGES[report.verdict.outcome.value],
        "headline": report.wording.headline,
        "derivation": report.wording.derivation,
        "independence": report.wording.independence,
        "reasons": list(report.verdict.reasons),
        "weight": list(report.wording.weight),
        "other_side": list(report.wording.other_side),
        "method": list(report.wording.method),
        "limits": list(report.wording.limits),
        "figures": _figures(report),
        "scored": report.verdict.score is not None,
        "independents": [_stratum(stratum) for stratum in report.strata if not stratum.derived],
        "derived": [_stratum(stratum) for stratum in report.strata if stratum.derived],
        "pictures": [_picture(query) for query in report.queries if query.picture][:MAX_PICTURES],
        "cards": [_card(query, report.labels) for query in cards],
        "full_bar": _full_bar(cards),
        "label_width": min(MAX_LABEL, max(len(printable(label)) for label in report.labels)),
        "queries": len(report.queries),
        "classes": len(report.labels),
        "exclusions": [[shorten(item.reason, 400), number_ranges(item.queries)] for item in report.exclusions],
        "failures": _failures(report),
        "provenance": _provenance(report),
        "hashes": [[f"{name} SHA-256", value] for name, value in report.hashes.items()],
    }
    clean: Fields = _clean(fields)
    return clean


def picture_name(query: Query) -> str:
    """Name a query's picture file."""
    return f"query-{query.number}.png"


def choose_cards(queries: Sequence[Query]) -> list[Query]:
    """Return all queries, or where they are too many the first, and of the rest the most divergent."""
    if len(queries) <= MAX_CARDS:
        return list(queries)
    first, rest = queries[: MAX_CARDS // 2], queries[MAX_CARDS // 2 :]
    divergent = sorted(rest, key=lambda query: (-(query.divergence or 0.0), query.number))
    return sorted([*first, *divergent[: MAX_CARDS - len(first)]], key=lambda query: query.number)


def number_ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ranges, 3 to 7 with a dash."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}{DASH}{run[-1]}" for run in runs)


def _date(text: str) -> list[int]:
    """Return year, month, day, hour, minute, second; the epoch where the transcript's time is no time."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        moment = datetime.fromtimestamp(0, UTC)
    return list(moment.timetuple()[:6])


def _figures(report: EvidenceReport) -> list[list[str]]:
    verdict = report.verdict
    match, no_match = f"{verdict.false_match_rate:g}", f"{verdict.false_no_match_rate:g}"
    independent, derived = (side.boundary for side in report.sides)
    return [
        ["Score of the endpoint", _number(verdict.score, 6), "from 0 to 1, high for derived models"],
        ["Likelihood ratio", _ratio(verdict), verdict.verbal or "there is no score"],
        [
            "p if independent",
            _p_value(verdict.p_value, verdict.independents),
            f"a match needs {match} or less, the promised rate of false matches",
        ],
        [
            "p if derived",
            _p_value(verdict.p_value_derived, verdict.derived),
            f"a match needs more than {no_match}, the promised rate of false no-matches",
        ],
        ["Rare among independents", _beyond("above", independent), f"scores for which the first p is {match} or less"],
        ["Rare among derived", _beyond("below", derived), f"scores for which the second p is {no_match} or less"],
        [
            "Queries answered",
            f"{verdict.answered} of {verdict.queries}",
            f"with {verdict.requests} requests, retries included",
        ],
        [
            "Same top label",
            f"{report.agreeing} of {verdict.answered}",
            "as the protected model, among answered queries",
        ],
        *_controls(report),
        ["Mean distance", _number(report.mean_divergence), "total variation between the two answers, from 0 to 1"],
        *_spelling(report.spelling),
    ]


def _spelling(spelling: Spelling | None) -> list[list[str]]:
    if spelling is None:
        return []
    spelled = [f"{side.mean:.0%} ({side.lowest:.0%} {DASH} {side.highest:.0%})" for side in
               (spelling.independent, spelling.derived)]  # fmt: skip
    return [
        [
            "Target bits wrong",
            f"{spelling.wrong} of {spelling.bits}",
            f"fair, independent bits: so few with probability {spelling.chance:.2g}",
        ],
        ["Wrong if independent", spelled[0], "mean of the calibration lineages, lowest and highest"],
        ["Wrong if derived", spelled[1], "mean of the calibration lineages, lowest and highest"],
    ]


def _ratio(verdict: Verdict) -> str:
    return DASH if verdict.log10_lr is None else ratio_text(verdict.log10_lr)


def _controls(report: EvidenceReport) -> list[list[str]]:
    rows = []
    sanity, blind = report.verdict.sanity, report.verdict.controls
    if sanity is not None:
        passed = "failed" if sanity.failures else "passed"
        rows.append(["Sanity controls", passed, str(sanity)])
    if blind is not None:
        rows.append(["Blind controls", f"{blind.matches} of {blind.models} match", str(blind)])
    return rows


def _p_value(value: float | None, count: int) -> str:
    return DASH if value is None else f"{value:.3g}  ({round(value * (count + 1))}/{count + 1})"


def _beyond(word: str, boundary: float | None) -> str:
    return DASH if boundary is None else f"{word} {boundary:.4g}"


def _stratum(stratum: Stratum) -> list[str]:
    kind = stratum.recipe
    if not stratum.derived:
        kind += f" · {stratum.architecture} · {_DATA.get(stratum.data or '', stratum.data)}"
    hits = stratum.as_low if stratum.derived else stratum.as_high
    interval = DASH if stratum.interval is None else f" {DASH} ".join(f"{end:.1%}" for end in stratum.interval)
    scores = [_number(value) for value in (stratum.lowest, stratum.median, stratum.highest)]
    return [shorten(kind, 90), str(stratum.models), str(stratum.lineages), *scores, _number(hits), interval]


def _number(value: float | None, digits: int = 4) -> str:
    return DASH if value is None else f"{value:.{digits}g}"


def _picture(query: Query) -> Fields:
    return {"file": picture_name(query), "number": query.number}


def _card(query: Query, labels: Sequence[str]) -> Fields:
    return {
        "number": query.number,
        "picture": picture_name(query) if query.picture else None,
        "agrees": query.agrees,
        "distance": None if query.divergence is None else f"{query.divergence:.3f}",
        "status": query.status,
        "bars": _bars(query, labels),
    }


def _bars(query: Query, labels: Sequence[str]) -> list[Fields]:
    """Keep the classes to which the target or the suspect gives most, in the order of the labels."""
    suspect = query.suspect or (None,) * len(labels)
    most = sorted(range(len(labels)), key=lambda index: (-max(query.target[index], suspect[index] or 0.0), index))
    return [
        {
            "label": shorten(printable(labels[index]), MAX_LABEL),
            "target": min(1.0, query.target[index]),
            "suspect": suspect[index],
        }
        for index in sorted(most[:MAX_BARS])
    ]


def _full_bar(queries: Sequence[Query]) -> float:
    """Choose the probability that a full bar stands for: smooth answers would be short bars at 1."""
    highest = max(max(*query.target, *(value or 0.0 for value in query.suspect or ())) for query in queries)
    return min(full for full in (0.25, 0.5, 1.0) if full >= min(1.0, highest))


def _failures(report: EvidenceReport) -> list[list[str]]:
    return [
        [item.outcome, str(item.http_status or DASH), shorten(item.error or DASH, 300), str(item.requests)]
        for item in report.failures
    ]


def _provenance(report: EvidenceReport) -> list[list[str]]:
    endpoint = report.endpoint
    rows = [
        ("endpoint", endpoint.name),
        ("asked at", endpoint.url),
        ("adapter", f"{endpoint.adapter}, scores read as {endpoint.scores.value}"),
        *((f"option {name}", value) for name, value in endpoint.options.items()),
        ("first query", report.started),
        ("last record", report.finished or "the audit is not finished"),
        *((f"answered by: {name}", value) for identity in report.identities for name, value in identity.items()),
        ("repeated inputs", report.steadiness),
        *((f"operator: {name}", value) for name, value in report.custody.operator.items()),
        ("clocks", report.custody.clock),
        ("commitment", report.custody.commitment.sentence),
        ("seal", report.custody.seal.sentence),
        ("fingerprint", f"{report.model_name}, method {report.method}"),
        *report.settings.items(),
        *((f"software, {name}", value) for name, value in report.software.items()),
    ]
    return [[name, shorten(str(value), 1000)] for name, value in rows]


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return printable(value) if isinstance(value, str) else value
