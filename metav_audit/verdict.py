"""The decision: bundle and transcript in, verdict out; pure, offline, the same every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.behaviour import find_faults, noise_of
from metav_audit.bundle import OWN_ARCHITECTURE, Calibration, ErrorRates, FingerprintBundle, ModelCard
from metav_audit.controls import BlindControls, Controls, score_controls
from metav_audit.errors import BundleError, TranscriptError
from metav_audit.responses import BoolArray, Features, features
from metav_audit.sanity import SanityControls, run_sanity_controls, sanity_seed
from metav_audit.transcript import Transcript
from metav_audit.verifier import MetaVerifier
from metav_audit.views import FULL_VIEW, OutputView, find_view
from metav_audit.weight import WeightTable, fit_weight, verbal

MINIMUM_SHARE = 0.5
"""Below this share of queries answered no verdict is given."""

TABLE_TOLERANCE = 0.02
"""By how much the log10 LRs of a bundle's table may differ from those that follow from its calibration."""


class VerdictOutcome(StrEnum):
    """What a verdict says of the suspect."""

    MATCH = "match"
    NO_MATCH = "no_match"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answers say.

    Attributes:
        outcome: match, no_match or inconclusive.
        score: the meta-verifier's, in [0, 1]; None where too little was answered.
        p_value: conformal p-value of "independent of the target": the share of independent lineages, the suspect
            counted among them, that score at least as high. Never finer than 1 / (independents + 1).
        p_value_derived: its mirror, of "derived from the target", among derived lineages that score at most as high.
        log10_lr: common logarithm of the likelihood ratio, how much more probable such a score is under "derived" than
            under "independent"; None where there is no score.
        log10_lr_bounds: what the calibration can bear, at least and at most; ``log10_lr`` never leaves them.
        verbal: the likelihood ratio on ENFSI's verbal scale, for the proposition that it supports.
        independents: number of independent lineages behind ``p_value``.
        derived: number of derived lineages behind ``p_value_derived``.
        false_match_rate: the promised rate of false matches.
        false_no_match_rate: the promised rate of false no-matches.
        queries: queries in the fingerprint.
        answered: queries answered.
        requests: requests sent, retries included.
        reasons: sentences that say why.
        bundle_sha256: the bundle's hash.
        transcript_sha256: the head of the transcript's chain.
        endpoint: the endpoint's name.
        url: where it was asked.
        view: what the endpoint showed of its model's outputs, in words.
        sanity: what the same rule says of answers whose origin is known; None where no score was given.
        controls: what it says of the controls that a third party supplied; None without any, or without a score.
    """

    outcome: VerdictOutcome
    score: float | None
    p_value: float | None
    p_value_derived: float | None
    log10_lr: float | None
    log10_lr_bounds: tuple[float, float] | None
    verbal: str | None
    independents: int
    derived: int
    false_match_rate: float
    false_no_match_rate: float
    queries: int
    answered: int
    requests: int
    reasons: tuple[str, ...]
    bundle_sha256: str
    transcript_sha256: str
    endpoint: str
    url: str
    view: str
    sanity: SanityControls | None = None
    controls: BlindControls | None = None

    def to_json(self) -> dict[str, Any]:
        """Describe the verdict in JSON types."""
        bounds = list(self.log10_lr_bounds) if self.log10_lr_bounds else None
        words = {"outcome": self.outcome.value, "reasons": list(self.reasons)}
        return {**asdict(self), **words, "log10_lr_bounds": bounds}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            TypeError, ValueError, KeyError: a field is missing, unknown or misstated.
        """
        values = dict(fields)
        values["outcome"] = VerdictOutcome(values["outcome"])
        values["reasons"] = tuple(values["reasons"])
        bounds = values["log10_lr_bounds"]
        values["log10_lr_bounds"] = None if bounds is None else tuple(bounds)
        for name, read in (("sanity", lambda each: SanityControls(**each)), ("controls", BlindControls.from_json)):
            values[name] = None if values[name] is None else read(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class CalibrationScores:
    """The scores of the calibration models, under the mask of what the suspect answered.

    Attributes:
        models: one card a model.
        scores: float64 of shape (M,).
    """

    models: tuple[ModelCard, ...]
    scores: NDArray[np.float64]

    def lineage_scores(self, derived: bool) -> NDArray[np.float64]:
        """One score a lineage of that side, sorted: its highest for independents, its lowest for derived ones.

        Models of one lineage are no independent witnesses, so each lineage counts once, by the member that speaks
        most against the verdict that the side guards.
        """
        by_lineage: dict[str, float] = {}
        worst = min if derived else max
        for card, score in zip(self.models, self.scores.tolist(), strict=True):
            if card.derived == derived:
                by_lineage[card.lineage] = worst(score, by_lineage.get(card.lineage, score))
        return np.sort(np.array(list(by_lineage.values()), dtype=np.float64))

    @property
    def knows_own_architecture(self) -> bool:
        """Whether some independent model has the target's own architecture."""
        return any(card.architecture == OWN_ARCHITECTURE and not card.derived for card in self.models)

    def fit_weight(self) -> WeightTable:
        """Fit the table of likelihood ratios on one score a lineage."""
        return fit_weight(self.lineage_scores(derived=True), self.lineage_scores(derived=False))


def scores_in_full(verifier: MetaVerifier, calibration: Calibration) -> CalibrationScores:
    """Score the calibration models on all that they answered."""
    features = calibration.features
    return CalibrationScores(calibration.models, verifier.scores(features, np.ones(features.shape, dtype=np.bool_)))


def calibration_scores(
    bundle: FingerprintBundle, view: OutputView = FULL_VIEW, answered: BoolArray | None = None
) -> CalibrationScores:
    """Score the calibration models as if they had been asked in the suspect's place.

    Args:
        bundle: whose calibration.
        view: what the suspect's API shows.
        answered: bool of shape (N,), the queries that the suspect answered; all of them by default.
    """
    values = bundle.calibration.features
    mask = np.ones(values.shape, dtype=np.bool_)
    if answered is not None:
        mask &= answered[None, :, None]
    shown = view.apply(Features(np.where(mask, values, 0).astype(np.float32), mask), bundle.task.output)
    return CalibrationScores(bundle.calibration.models, bundle.verifier.scores(shown.values, shown.mask))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a score says beside the calibration's scores; the fields are those of Verdict."""

    outcome: VerdictOutcome
    score: float
    p_value: float
    p_value_derived: float
    log10_lr: float
    log10_lr_bounds: tuple[float, float]
    reason: str


def conformal_p_value(score: float, others: NDArray[np.float64]) -> float:
    """Return (1 + number of ``others`` at least as high as ``score``) / (n + 1)."""
    return (1 + int((others >= score).sum())) / (len(others) + 1)


def guard(judgement: Judgement, held_out: CalibrationScores) -> Judgement:
    """Let a match stand only where some independent models have the target's own architecture.

    They are the ones that come near it, and what others score promises nothing of them: without them the observed rate
    of false matches was .13 at a promised .05 (docs/methods.md).
    """
    if judgement.outcome is not VerdictOutcome.MATCH or held_out.knows_own_architecture:
        return judgement
    return replace(
        judgement, outcome=VerdictOutcome.INCONCLUSIVE, reason=f"{judgement.reason}, but {_UNKNOWN_ARCHITECTURE}"
    )


_UNKNOWN_ARCHITECTURE = (
    "none of these independent models has the target's own architecture, and those that have it come nearest: the "
    "promised rate of false matches does not hold for them"
)


def judge(score: float, held_out: CalibrationScores, rates: ErrorRates, weight: WeightTable) -> Judgement:
    """Judge one score: a match is rare among independents and usual among derived models; a no-match the reverse.

    Either stands only where the likelihood ratio supports the same proposition: what one figure says and the other
    does not is no conclusion.
    """
    p_value = conformal_p_value(score, held_out.lineage_scores(derived=False))
    p_value_derived = conformal_p_value(-score, -held_out.lineage_scores(derived=True))
    rare_if_independent = p_value <= rates.false_match
    rare_if_derived = p_value_derived <= rates.false_no_match
    outcome, reason = _JUDGEMENTS[rare_if_independent, rare_if_derived]
    log10_lr = float(weight.weigh(score))
    if outcome in _SUPPORTS and not log10_lr * _SUPPORTS[outcome] > 0:
        outcome, reason = VerdictOutcome.INCONCLUSIVE, f"{reason}, but {_CONTRADICTIONS[outcome]}"
    return Judgement(outcome, score, p_value, p_value_derived, log10_lr, (weight.low, weight.high), reason)


_JUDGEMENTS = {
    (True, False): (
        VerdictOutcome.MATCH,
        "such a score is rare among independent models and usual among derived ones",
    ),
    (False, True): (
        VerdictOutcome.NO_MATCH,
        "such a score is rare among derived models and usual among independent ones",
    ),
    (True, True): (
        VerdictOutcome.INCONCLUSIVE,
        "such a score is rare among derived and independent models alike",
    ),
    (False, False): (
        VerdictOutcome.INCONCLUSIVE,
        "such a score is usual among derived and independent models alike",
    ),
}
_SUPPORTS = {VerdictOutcome.MATCH: 1, VerdictOutcome.NO_MATCH: -1}
"""The sign of a log10 LR that supports the same proposition."""
_CONTRADICTIONS = {
    VerdictOutcome.MATCH: "it is no more probable if derived: the likelihood ratio does not support derivation",
    VerdictOutcome.NO_MATCH: "it is no less probable if derived: the likelihood ratio does not support independence",
}


def decide(bundle: FingerprintBundle, transcript: Transcript, controls: Controls | None = None) -> Verdict:
    """Decide what the answers say of the suspect.

    1. The transcript belongs to the bundle.
    2. The answers become canonical features with a mask.
    3. If too little was answered, or the answers are not those of one model of the task, no verdict is given.
    4. The meta-verifier scores the suspect, and every calibration model through the same view.
    5. A likelihood ratio weighs the two propositions, from the bundle's table where all is shown and answered, and
       otherwise fitted to what the same view shows of the calibration.
    6. Two conformal p-values say how the score sits among independents and among derived models, and so decide, unless
       the likelihood ratio contradicts them. Behind noise they have to say the same without noise on the calibration.
    7. The same rule judges the sanity controls, and a third party's blind controls where there are any: if it fails
       on them, it decides nothing.
    8. A match stands only where the calibration knows independents of the target's own architecture.

    Raises:
        TranscriptError: the transcript or the controls were recorded with another bundle.
        AnswerError: an answer does not fit the task.
        BundleError: the bundle's table of likelihood ratios does not follow from its calibration.
    """
    # 1.
    if transcript.bundle_sha256 != bundle.sha256 or len(transcript.exchanges) != len(bundle.inputs):
        raise TranscriptError("the transcript was recorded with another bundle: give the bundle whose hash it names")
    if controls is not None and controls.bundle_sha256 != bundle.sha256:
        raise TranscriptError("the controls were asked another bundle's fingerprint: ask them this one's")
    # 2.
    shown = features(transcript.answers, bundle.task.output, transcript.endpoint.scores)
    # 3.
    reasons = (*_too_little(shown), *find_faults(bundle, transcript, shown))
    if reasons:
        return _verdict(bundle, transcript, reasons, None)
    # 4.
    score = float(bundle.verifier.scores(shown.values[None], shown.mask[None])[0])
    view = view_of(bundle, transcript)
    rule = Rule.through(bundle, view, shown.answered)
    # 5.
    if rule.weight is bundle.weight:
        check_table(bundle, rule.held_out)
    # 6.
    judgement = rule.judge(score)
    # 7.
    seed, promised = sanity_seed(bundle.sha256, transcript.head), bundle.rates.false_match
    sanity = run_sanity_controls(shown, bundle.reference, bundle.task.output, view, rule, promised, seed)
    blind = None
    if controls is not None:
        lineages = len(rule.held_out.lineage_scores(derived=False))
        blind = score_controls(controls, bundle.task.output, view, shown.answered, rule, promised, lineages)
    failures = (*sanity.failures, *(blind.failures if blind else ()))
    # 8.
    judgement = replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE) if failures else guard(judgement, rule.held_out)
    verdict = _verdict(bundle, transcript, failures or (judgement.reason,), judgement)
    return replace(verdict, sanity=sanity, controls=blind)


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule by which a suspect is judged, and controls like it.

    Attributes:
        bundle: whose verifier and rates.
        held_out: the calibration's scores, seen as the suspect is.
        weight: the likelihood ratios that belong to them.
        still: the rule without noise on the calibration; None where there is no noise.
    """

    bundle: FingerprintBundle
    held_out: CalibrationScores
    weight: WeightTable
    still: Rule | None = None

    @classmethod
    def through(cls, bundle: FingerprintBundle, view: OutputView, answered: BoolArray | None = None) -> Rule:
        """Return the rule for a suspect seen through a view; ``answered`` is as in ``calibration_scores``."""
        held_out = calibration_scores(bundle, view, answered)
        complete = view == FULL_VIEW and (answered is None or bool(answered.all()))
        weight = bundle.weight if complete else held_out.fit_weight()
        still = cls.through(bundle, replace(view, noise=0.0, seed=0), answered) if view.noise else None
        return cls(bundle, held_out, weight, still)

    def judge(self, score: float) -> Judgement:
        """Judge a score; behind noise an outcome has to be that of a calibration without noise, too."""
        judgement = judge(score, self.held_out, self.bundle.rates, self.weight)
        if self.still is None or self.still.judge(score).outcome is judgement.outcome:
            return judgement
        reason = f"{judgement.reason}, but not so beside calibration models without the noise"
        return replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE, reason=reason)

    def __call__(self, shown: Features) -> str:
        """Return the outcome of one model's answers."""
        return self.judge(float(self.bundle.verifier.scores(shown.values[None], shown.mask[None])[0])).outcome


def view_of(bundle: FingerprintBundle, transcript: Transcript) -> OutputView:
    """Return what the endpoint showed of its model's outputs, found from its answers."""
    seen = find_view(transcript.answers, bundle.task.output, transcript.endpoint.scores)
    noise = 0.0 if seen.label_only else noise_of(bundle, transcript)
    return replace(seen, noise=noise, seed=sanity_seed(bundle.sha256, transcript.head)) if noise else seen


def check_table(bundle: FingerprintBundle, held_out: CalibrationScores) -> None:
    """Raise BundleError unless the bundle's table follows from its calibration: an owner may have written any into it.

    Args:
        bundle: whose table.
        held_out: its calibration, all of it shown.
    """
    if bundle.weight.difference(held_out.fit_weight()) > TABLE_TOLERANCE:
        raise BundleError(
            "the bundle's table of likelihood ratios does not follow from its calibration: fit the bundle again"
        )


def _too_little(shown: Features) -> tuple[str, ...]:
    answered = shown.answered
    if answered.mean() < MINIMUM_SHARE:
        return (f"only {answered.sum()} of {len(answered)} queries were answered; at least half are needed",)
    return ()


def _verdict(
    bundle: FingerprintBundle, transcript: Transcript, reasons: tuple[str, ...], judgement: Judgement | None
) -> Verdict:
    lineages = {(card.derived, card.lineage) for card in bundle.calibration.models}
    derived = sum(side for side, _ in lineages)
    return Verdict(
        outcome=judgement.outcome if judgement else VerdictOutcome.INCONCLUSIVE,
        score=judgement.score if judgement else None,
        p_value=judgement.p_value if judgement else None,
        p_value_derived=judgement.p_value_derived if judgement else None,
        log10_lr=judgement.log10_lr if judgement else None,
        log10_lr_bounds=judgement.log10_lr_bounds if judgement else None,
        verbal=verbal(judgement.log10_lr) if judgement else None,
        independents=len(lineages) - derived,
        derived=derived,
        false_match_rate=bundle.rates.false_match,
        false_no_match_rate=bundle.rates.false_no_match,
        queries=len(bundle.inputs),
        answered=sum(answer is not None for answer in transcript.answers),
        requests=transcript.requests,
        reasons=reasons,
        bundle_sha256=bundle.sha256,
        transcript_sha256=transcript.head,
        endpoint=transcript.endpoint.name,
        url=transcript.endpoint.url,
        view=view_of(bundle, transcript).words(bundle.task.output),
    )
