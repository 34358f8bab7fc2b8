"""The first page: the outcome, its weight, who asked whom and when, and who vouches for it."""

from __future__ import annotations

from metav_audit.report.document import Cover, Tone
from metav_audit.report.layout.values import DASH, moment, number, p_share, p_value
from metav_audit.report.model import EvidenceReport
from metav_audit.report.text import shorten
from metav_audit.verdict import VerdictOutcome

_BADGES = {
    VerdictOutcome.MATCH: ("MATCH", Tone.DERIVED),
    VerdictOutcome.NO_MATCH: ("NO MATCH", Tone.INDEPENDENT),
    VerdictOutcome.INCONCLUSIVE: ("INCONCLUSIVE", Tone.NEUTRAL),
}


def lay_out_cover(report: EvidenceReport) -> Cover:
    """Return the first page."""
    badge, tone = _BADGES[report.verdict.outcome]
    return Cover(
        kicker="Evidence report · black-box model audit",
        title=shorten(report.endpoint.name, 120),
        subtitle=shorten(report.endpoint.url, 160),
        badge=badge,
        tone=tone,
        headline=report.wording.headline,
        reasons=tuple(f"Reason: {reason}." for reason in report.verdict.reasons),
        warning=_warning(report),
        propositions=(
            ("First proposition", Tone.DERIVED, report.wording.derivation),
            ("Second proposition", Tone.INDEPENDENT, report.wording.independence),
        ),
        ruler=None,
        figures=_figures(report),
        glance=tuple(_glance(report)),
    )


def _warning(report: EvidenceReport) -> str | None:
    """Say what undoes the verdict, whatever its figures are."""
    custody = report.custody
    broken = [each.sentence for each in (custody.commitment, custody.seal) if not each.holds]
    if custody.control is not None and not custody.control.passed:
        broken.insert(0, custody.control.sentence)
    return " ".join(broken) or None


def _figures(report: EvidenceReport) -> tuple[tuple[str, str, str], ...]:
    verdict = report.verdict
    return (
        (number(verdict.score), "score", "of 0 to 1; high for derived models"),
        (
            p_value(verdict.p_value),
            "p if independent",
            f"{p_share(verdict.p_value, verdict.independents)}; a match needs {verdict.false_match_rate:g} or less",
        ),
        (
            p_value(verdict.p_value_derived),
            "p if derived",
            f"{p_share(verdict.p_value_derived, verdict.derived)}; a match needs more than "
            f"{verdict.false_no_match_rate:g}",
        ),
        (
            f"{verdict.answered} of {verdict.queries}",
            "queries answered",
            f"{verdict.requests} requests, retries included",
        ),
    )


def _glance(report: EvidenceReport) -> list[tuple[str, str]]:
    custody, operator = report.custody, report.custody.operator
    who = ", ".join(operator[name] for name in ("name", "organisation") if operator.get(name))
    rows = [
        ("Asked by", shorten(who or "no operator is named", 300)),
        ("Authority", shorten(operator.get("authority") or "none is stated", 400)),
        ("First query", moment(report.started)),
        ("Last record", moment(report.finished)),
        ("Seen of the model", report.verdict.view),
        ("Registration", custody.commitment.sentence),
        ("Seal", custody.seal.sentence),
    ]
    if custody.control is not None:
        rows.append(("Positive control", custody.control.sentence))
    return rows


__all__ = ["DASH", "lay_out_cover"]
