"""The first page: the outcome, its weight, who asked whom and when, and who vouches for it."""

from __future__ import annotations

from metav_audit.report.blocks import Drawing, Tone
from metav_audit.report.document import Cover
from metav_audit.report.layout.values import moment, number, p_share, p_value, ratio, short_hashes
from metav_audit.report.model import EvidenceReport
from metav_audit.report.text import shorten
from metav_audit.report.wording import EVASION, FAMILY
from metav_audit.transcript import Campaign
from metav_audit.verdict import Verdict, VerdictOutcome

RULER = "ruler.svg"
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
        ruler=_ruler(report.verdict),
        figures=_figures(report),
        glance=tuple(_glance(report)),
    )


def _ruler(verdict: Verdict) -> Drawing | None:
    if verdict.log10_lr is None or verdict.log10_lr_bounds is None:
        return None
    low, high = verdict.log10_lr_bounds
    return Drawing(
        RULER,
        f"A ruler of likelihood ratios: {ratio(verdict.log10_lr)}, kept between {ratio(low)} and {ratio(high)}.",
        f"The weight on ENFSI's verbal scale: {verdict.verbal}. How many times more probable such a score is under the "
        f"first proposition than under the second; with so many calibration models, a ratio below {ratio(low)} or "
        f"above {ratio(high)} cannot be borne out.",
    )


def _warning(report: EvidenceReport) -> str | None:
    """Say what undoes the verdict, whatever its figures are."""
    custody = report.custody
    attested = (custody.commitment, custody.rebuild, custody.replay, custody.supplier, custody.seal)
    broken = [each.sentence for each in attested if each is not None and not each.holds]
    if custody.control is not None and not custody.control.passed:
        broken.insert(0, custody.control.sentence)
    return " ".join(broken) or None


def _figures(report: EvidenceReport) -> tuple[tuple[str, str, str], ...]:
    verdict = report.verdict
    return (
        (number(verdict.score), "score", "of 0 to 1; high for derived models"),
        (ratio(verdict.log10_lr), "likelihood ratio", verdict.verbal or "there is no score"),
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
        *_among_siblings(verdict),
        *_of_family(verdict),
        (
            f"{verdict.answered} of {verdict.queries}",
            "queries answered",
            f"{verdict.requests} requests, retries included",
        ),
    )


def _among_siblings(verdict: Verdict) -> tuple[tuple[str, str, str], ...]:
    if verdict.siblings is None:
        return ()
    share = p_share(verdict.p_value_siblings, verdict.siblings)
    words = f"{share}; exact for any suspect; a match needs {verdict.false_match_rate:g} or less"
    return ((p_value(verdict.p_value_siblings), "p among siblings", words),)


def _of_family(verdict: Verdict) -> tuple[tuple[str, str, str], ...]:
    if verdict.p_value_family is None:
        return ()
    return ((p_value(verdict.p_value_family), "p if not of the family", FAMILY),)


def _among(campaign: Campaign, verdict: Verdict) -> str:
    """Say how many audits with the bundle there are, and what the match's p-value is worth among so many."""
    asked = f"{_count(campaign.endpoints, 'endpoint')} asked in this run"
    told = f"{asked}, after {_count(campaign.earlier, 'earlier audit')} with this bundle in the auditor's records"
    p = verdict.p_value_match
    if verdict.outcome is not VerdictOutcome.MATCH or p is None or campaign.audits == 1:
        return f"{told}."
    worth = f"{min(1.0, campaign.audits * p):.2g}"
    return f"{told}. Corrected for all {campaign.audits} (Bonferroni) the match's p is at most {worth}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _glance(report: EvidenceReport) -> list[tuple[str, str]]:
    custody, operator = report.custody, report.custody.operator
    who = ", ".join(operator[name] for name in ("name", "organisation") if operator.get(name))
    rows = [
        ("Asked by", shorten(who or "no operator is named", 300)),
        ("Authority", shorten(operator.get("authority") or "none is stated", 400)),
        ("First query", moment(report.started)),
        ("Last record", moment(report.finished)),
        *([("One of how many", _among(report.campaign, report.verdict))] if report.campaign is not None else []),
        ("Seen of the model", report.verdict.view),
        ("Asked rightly?", f"{report.verdict.natural}."),
        *([("Evasion", EVASION)] if report.verdict.outcome is VerdictOutcome.NO_MATCH else []),
        ("False matches", f"at most {report.verdict.false_match_rate:.3g} promised: {report.verdict.guarantee}."),
        ("Registration", short_hashes(custody.commitment.sentence)),
        ("Rebuild", short_hashes(custody.rebuild.sentence)),
        *([("Replay", short_hashes(custody.replay.sentence))] if custody.replay is not None else []),
        ("Seal", short_hashes(custody.seal.sentence)),
    ]
    if report.requests is not None:
        rows.append(("Request log", short_hashes(report.requests.sentence)))
    for name, controls in (("Sanity controls", report.verdict.sanity), ("Blind controls", report.verdict.controls)):
        if controls is not None:
            rows.append((name, f"{controls}."))
    if custody.supplier is not None:
        rows.append(("Their supplier", short_hashes(custody.supplier.sentence)))
    if custody.control is not None:
        rows.append(("Positive control", custody.control.sentence))
    return rows
