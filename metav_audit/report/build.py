"""Bundle, transcript and verdict become an EvidenceReport: pure, offline, the same value every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np

from metav_audit.bundle import ModelCard
from metav_audit.evidence import Custody
from metav_audit.report.model import CalibrationSide, EvidenceReport, Exclusion, Failure, Query, RatioCheck, Stratum
from metav_audit.report.queries import build_queries, figure, mean
from metav_audit.report.requests import request_log_of
from metav_audit.report.spelling import spelling_of
from metav_audit.report.wording import write_wording
from metav_audit.statistics import cllr, cllr_min, clopper_pearson, rare_boundary, weigh_held_out
from metav_audit.transcript import Attempt, Exchange, Transcript
from metav_audit.verdict import Asked, CalibrationScores, Decision, Rules, Verdict, calibration_scores

StratumKey = tuple[bool, str, str | None, str | None]
"""Derived or not, recipe, architecture, data."""


def build_report(decision: Decision, custody: Custody) -> EvidenceReport:
    """Gather everything a renderer may print."""
    bundle, transcript = decision.bundle, decision.transcript
    reading, verdict, shown = decision.reading, decision.verdict, decision.reading.shown
    held_out = calibration_scores(bundle, reading.view, shown.answered)
    sides = (_side(held_out, verdict, derived=False), _side(held_out, verdict, derived=True))
    queries = build_queries(bundle, Asked.of(bundle, transcript).queries, shown)
    strata = _strata(held_out, verdict.score)
    ratios = None if verdict.score is None else _ratios(held_out, decision.rules)
    spelling = spelling_of(bundle, verdict, sides)
    return EvidenceReport(
        model_name=bundle.name,
        method=bundle.method,
        kind=bundle.task.output.kind,
        unit=bundle.task.output.unit,
        labels=bundle.task.output.labels,
        verdict=verdict,
        wording=write_wording(bundle, verdict, sides, strata, ratios, queries, spelling),
        endpoint=transcript.endpoint,
        sides=sides,
        strata=strata,
        ratios=ratios,
        queries=queries,
        agreeing=sum(query.agrees is True for query in queries),
        mean_divergence=mean(query.divergence for query in queries),
        exclusions=_exclusions(queries),
        failures=_failures(transcript.exchanges),
        identities=transcript.identities,
        steadiness=reading.steadiness,
        hashes=_hashes(bundle.provenance, verdict),
        software=_software(bundle.provenance, transcript),
        settings={name: value for name, value in sorted(bundle.provenance.items()) if _is_setting(name)},
        rules=decision.rules.stated(bundle.task.output),
        spelling=spelling,
        requests=request_log_of(bundle, custody.operator),
        custody=custody,
        campaign=transcript.campaign,
        started=transcript.started,
        finished=transcript.finished,
    )


def _side(held_out: CalibrationScores, verdict: Verdict, *, derived: bool) -> CalibrationSide:
    if verdict.score is None:
        return CalibrationSide(derived, (), None, None)
    scores = held_out.lineage_scores(derived).tolist()
    rate = verdict.false_no_match_rate if derived else verdict.false_match_rate
    boundary = rare_boundary(scores if derived else scores[::-1], rate)
    return CalibrationSide(derived, tuple(scores), boundary, _interval(scores, verdict.score, derived=derived))


def _interval(scores: Sequence[float], score: float, *, derived: bool) -> tuple[float, float]:
    hits = sum(other <= score if derived else other >= score for other in scores)
    return clopper_pearson(hits, len(scores))


def _strata(held_out: CalibrationScores, score: float | None) -> tuple[Stratum, ...]:
    """Group the calibration models: independents by recipe, architecture and data, derived ones by recipe."""
    cards = held_out.models
    order = sorted(range(len(cards)), key=lambda index: _sortable(_stratum(cards[index])))
    groups = groupby(order, key=lambda index: _stratum(cards[index]))
    return tuple(_one_stratum(key, held_out, list(members), score) for key, members in groups)


def _stratum(card: ModelCard) -> StratumKey:
    return (True, card.recipe, None, None) if card.derived else (False, card.recipe, card.architecture, card.data)


def _sortable(key: StratumKey) -> tuple[bool, str, str, str]:
    return key[0], key[1], key[2] or "", key[3] or ""


def _one_stratum(key: StratumKey, held_out: CalibrationScores, members: list[int], score: float | None) -> Stratum:
    models, scored = held_out.models, held_out.scored
    within = CalibrationScores(tuple(models[at] for at in members), tuple(scored[at] for at in members))
    scores = within.lineage_scores(key[0]).tolist()
    if score is None:
        return Stratum(*key, len(members), len(scores), None, None, None, None, None, None)
    return Stratum(
        *key,
        models=len(members),
        lineages=len(scores),
        lowest=scores[0],
        median=median(scores),
        highest=scores[-1],
        as_high=sum(other >= score for other in scores),
        as_low=sum(other <= score for other in scores),
        interval=_interval(scores, score, derived=key[0]),
    )


def _ratios(held_out: CalibrationScores, rules: Rules) -> RatioCheck:
    scores = (held_out.lineage_scores(derived=True), held_out.lineage_scores(derived=False))
    derived, independent = map(np.sort, weigh_held_out(*scores, rules.ratios))
    return RatioCheck(
        derived=tuple(derived.tolist()),
        independent=tuple(independent.tolist()),
        cllr=figure(cllr(derived, independent)),
        cllr_min=figure(cllr_min(derived, independent)),
        misleading_derived=int((derived < 0).sum()),
        misleading_independent=int((independent > 0).sum()),
    )


def _exclusions(queries: Sequence[Query]) -> tuple[Exclusion, ...]:
    by_reason: dict[str, list[int]] = {}
    for query in queries:
        if query.status != "answered":
            reason = query.reason or "still open: the audit stopped before it was answered or given up"
            by_reason.setdefault(reason, []).append(query.number)
    return tuple(Exclusion(reason, tuple(numbers)) for reason, numbers in by_reason.items())


def _failures(exchanges: Sequence[Exchange]) -> tuple[Failure, ...]:
    """Count failed requests by kind; a request for several queries counts once."""
    requests: dict[int, Attempt] = {item.request: item for exchange in exchanges for item in exchange.attempts}
    failed = [item for item in requests.values() if item.outcome != "ok" or item.error is not None]
    kinds = Counter((item.outcome, item.status, item.error) for item in failed)
    return tuple(Failure(*kind, requests=count) for kind, count in kinds.items())


def _hashes(provenance: Mapping[str, Any], verdict: Verdict) -> dict[str, str]:
    """Name the audit's hashes first, then those that the owner's side recorded."""
    suffix = "_sha256"
    recorded = {name.removesuffix(suffix): value for name, value in sorted(provenance.items()) if name.endswith(suffix)}
    own = {"bundle": verdict.bundle_sha256, "transcript": verdict.transcript_sha256}
    return {**own, **{name: str(value) for name, value in recorded.items() if name not in own}}


def _software(provenance: Mapping[str, Any], transcript: Transcript) -> dict[str, str]:
    versions = provenance.get("versions")
    fitted = versions.items() if isinstance(versions, Mapping) else ()
    return {"audit": transcript.software, **{f"bundle: {name}": str(version) for name, version in sorted(fitted)}}


def _is_setting(name: str) -> bool:
    return name not in ("versions", "log") and not name.endswith("_sha256")
