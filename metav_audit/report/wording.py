"""The report's sentences. They say how usual the answers are under each proposition, and never more than that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metav_audit.bundle import FingerprintBundle
from metav_audit.report.method import steps, terms
from metav_audit.report.model import CalibrationSide, Query, RatioCheck, Spelling, Stratum, Wording
from metav_audit.report.requests import account_sentences
from metav_audit.report.spelling import spelling_sentences
from metav_audit.report.text import shorten
from metav_audit.statistics import CONFIDENCE, ratio_text, tolerance_limit
from metav_audit.verdict import Verdict, VerdictOutcome

MAX_NAME = 80
"""Longer names are cut in sentences."""
OWNERS_DATA = "train"
"""The ModelCard.data of models trained on the owner's own data."""

LIMITS = (
    "It gives no probability that the endpoint's model is derived. It says how usual or rare such answers are if it "
    "is, and if it is not; other evidence has to be weighed with it.",
    "It does not say how a derived model came to be, who made it, or whether that was allowed. A copy made with the "
    "owner's leave answers in the same way.",
    "The reference population is the calibration models listed here, which the owner trained. The weight depends on "
    "how well they stand for the models that one may meet. A model unlike all of them may score otherwise.",
    "An independent model here is one trained without the protected model's weights, its answers, or its descendants. "
    "Two models that share an older common ancestor may resemble each other for that reason.",
    "It holds for the endpoint at the time of the queries. What is served there may change from one request to the "
    "next.",
    "The hashes show that the files belong together and stand unaltered since the hashes were known. Since when that "
    "is, and what vouches for it, stands in Annex A under the order of events.",
)

EVASION = (
    "An API that recognises audits can evade a match: it may answer these inputs with another model than its users "
    "get. Inputs were asked again and nearly again, in an order that it cannot foresee, and it answered alike; whether "
    "it knew the inputs themselves cannot be seen."
)

FAMILY = "family: the ancestor and all that was tuned from it, rivals' models too; it makes no match"
"""What the family's p-value is about."""

_HEADLINES = {
    VerdictOutcome.MATCH: (
        "The answers of {endpoint} are what one expects of a model derived from {model}, and are rare among "
        "independent models."
    ),
    VerdictOutcome.NO_MATCH: (
        "The answers of {endpoint} are what one expects of a model independent of {model}, and are rare among models "
        "derived from it."
    ),
    VerdictOutcome.INCONCLUSIVE: (
        "The answers of {endpoint} do not tell whether it serves a model derived from {model} or an independent one."
    ),
}
_NO_SCORE = "{endpoint} showed too little to tell whether it serves a model derived from {model}."


def write_wording(
    bundle: FingerprintBundle,
    verdict: Verdict,
    sides: tuple[CalibrationSide, CalibrationSide],
    strata: Sequence[Stratum],
    ratios: RatioCheck | None,
    queries: Sequence[Query],
    spelling: Spelling | None = None,
) -> Wording:
    """Write the sentences for one verdict; ``sides`` are independents, then derived models."""
    model = shorten(bundle.name, MAX_NAME)
    return Wording(
        headline=_headline(model, verdict),
        derivation=f"The endpoint serves a model derived from {model}.",
        independence=f"The endpoint serves a model independent of {model}.",
        weight=(*_weight(model, verdict, ratios), *spelling_sentences(spelling)),
        other_side=tuple(_other_side(verdict, sides, strata, queries)),
        limits=LIMITS,
        method=steps(bundle.verifier.kind, bundle.task.output.kind),
        terms=terms(bundle.verifier.kind),
    )


def _headline(model: str, verdict: Verdict) -> str:
    template = _NO_SCORE if verdict.score is None else _HEADLINES[verdict.outcome]
    # replace, not format: a name may hold braces.
    return template.replace("{model}", model).replace("{endpoint}", shorten(verdict.endpoint, MAX_NAME))


def _weight(model: str, verdict: Verdict, ratios: RatioCheck | None) -> Iterator[str]:
    if verdict.score is None:
        yield "There is no score, and so no likelihood ratio and no p-value: " + "; ".join(verdict.reasons) + "."
        return
    yield from _ratio(model, verdict)
    if ratios is not None:
        yield _trust(ratios)
    for p_value, count, side, extreme in (
        (verdict.p_value, verdict.independents, "independent", "at least as high"),
        (verdict.p_value_derived, verdict.derived, "derived", "at most as high"),
    ):
        assert p_value is not None
        hits = round(p_value * (count + 1)) - 1
        yield (
            f"{hits} of {count} {side} calibration lineages score {extreme}: p = {hits + 1}/{count + 1} = "
            f"{p_value:.3g}, and it could not have been finer than 1/{count + 1} = {1 / (count + 1):.3g}."
        )
    limit = tolerance_limit(verdict.independents, verdict.false_match_rate)
    yield (
        f"The promised rate of false matches, {verdict.false_match_rate:g}, is a mean over calibrations. This "
        f"calibration's own rate lies below {limit:.3g} with a confidence of {CONFIDENCE:.0%}."
    )
    yield from _siblings(model, verdict)
    yield from _family(model, verdict)
    yield from account_sentences(model, verdict)


def _siblings(model: str, verdict: Verdict) -> Iterator[str]:
    if verdict.siblings is None or verdict.p_value_siblings is None:
        return
    count = verdict.siblings
    nearer, finest = round(verdict.p_value_siblings * (count + 1)) - 1, 1 / (count + 1)
    yield (
        f"The endpoint is at least as near to {nearer} of {count} siblings as to {model}: p = {nearer + 1}/{count + 1} "
        f"= {verdict.p_value_siblings:.3g}, and it could not have been finer than 1/{count + 1} = {finest:.3g}. "
        f"This holds whoever made the endpoint's model and from what, if the siblings were trained as {model} was."
    )


def _family(model: str, verdict: Verdict) -> Iterator[str]:
    p_value = verdict.p_value_family
    if p_value is None:
        return
    rare = p_value <= verdict.false_match_rate
    found = "rare among them: its model is of the ancestor's family" if rare else "not rare among them"
    yield (
        f"{model} was tuned from an ancestor, which others may have tuned. Held against independent models that do "
        f"not start from it, the endpoint's likeness to that family is {found} (p = {p_value:.3g}). This tells the "
        "family and not whose child it is: whatever starts from the ancestor may answer so."
    )


def _ratio(model: str, verdict: Verdict) -> Iterator[str]:
    assert verdict.log10_lr is not None
    assert verdict.log10_lr_bounds is not None
    ways = ("derived from", "independent of")
    first, second = ways if verdict.log10_lr >= 0 else ways[::-1]
    times = ratio_text(abs(verdict.log10_lr))
    if verdict.log10_lr == 0:
        yield f"Such a score is as probable if the model is {first} {model} as if it is {second} it: {verdict.verbal}."
    else:
        yield (
            f"Such a score is about {times} times more probable if the model is {first} {model} than if it is {second} "
            f"it: {verdict.verbal}."
        )
    low, high = verdict.log10_lr_bounds
    at_bound = " This one is cut at its bound." if verdict.log10_lr in (low, high) else ""
    yield (
        f"With {verdict.derived} derived and {verdict.independents} independent lineages, a likelihood ratio below "
        f"{ratio_text(low)} or above {ratio_text(high)} would be more than the calibration can bear.{at_bound}"
    )


def _trust(ratios: RatioCheck) -> str:
    return (
        f"Weighed in the same way, each by all others, {ratios.misleading_independent} of {len(ratios.independent)} "
        f"independent calibration lineages get a likelihood ratio above 1, and {ratios.misleading_derived} of "
        f"{len(ratios.derived)} derived ones get one below 1 (cost Cllr = {ratios.cllr:.3f})."
    )


def _other_side(
    verdict: Verdict,
    sides: tuple[CalibrationSide, CalibrationSide],
    strata: Sequence[Stratum],
    queries: Sequence[Query],
) -> Iterator[str]:
    if verdict.score is not None and verdict.outcome is not VerdictOutcome.NO_MATCH:
        yield from _for_independence(verdict.score, sides[0], strata)
    if verdict.score is not None and verdict.outcome is not VerdictOutcome.MATCH:
        yield from _for_derivation(verdict.score, sides[1])
    if verdict.controls is not None:
        yield f"Of models that a third party calls independent: {verdict.controls}."
    yield from _labels(verdict, queries)
    yield from _gaps(verdict, queries)


def _for_independence(score: float, side: CalibrationSide, strata: Sequence[Stratum]) -> Iterator[str]:
    near = side.scores[-1]
    hits = sum(other >= score for other in side.scores)
    yield f"The highest-scoring independent calibration lineage has {near:.6g}; the endpoint has {score:.6g}."
    yield _share(side, f"{hits} of {len(side.scores)} independent lineages score at least as high as the endpoint")
    hard = [stratum for stratum in strata if stratum.data == OWNERS_DATA]
    if hard:
        count = sum(stratum.as_high or 0 for stratum in hard)
        yield (
            f"Of the {sum(stratum.lineages for stratum in hard)} independent lineages trained on the owner's own data, "
            f"the hardest to tell apart, {count} score at least as high as the endpoint."
        )


def _for_derivation(score: float, side: CalibrationSide) -> Iterator[str]:
    near = side.scores[0]
    hits = sum(other <= score for other in side.scores)
    yield f"The lowest-scoring derived calibration lineage has {near:.6g}; the endpoint has {score:.6g}."
    yield _share(side, f"{hits} of {len(side.scores)} derived lineages score at most as high as the endpoint")


def _share(side: CalibrationSide, observed: str) -> str:
    assert side.interval is not None
    low, high = side.interval
    return (
        f"{observed}; the true share lies between {low:.1%} and {high:.1%} ({CONFIDENCE:.0%} Clopper-Pearson interval)."
    )


def _labels(verdict: Verdict, queries: Sequence[Query]) -> Iterator[str]:
    agrees = [query.agrees for query in queries if query.agrees is not None]
    if not agrees:
        return
    if verdict.outcome is VerdictOutcome.NO_MATCH:
        yield f"The endpoint's top label is the protected model's own in {sum(agrees)} of {len(agrees)} answers."
    else:
        different = agrees.count(False)
        yield f"The endpoint's top label differs from the protected model's in {different} of {len(agrees)} answers."


def _gaps(verdict: Verdict, queries: Sequence[Query]) -> Iterator[str]:
    missing = verdict.queries - verdict.answered
    if missing:
        yield f"{missing} of {verdict.queries} queries have no answer; nothing is known of what it would have been."
    if any(query.suspect is not None and None in query.suspect for query in queries):
        yield "Some answers hide classes; nothing is known of the probabilities not shown."
