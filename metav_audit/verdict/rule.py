"""The rule: one score beside the calibration's scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import OWN_ARCHITECTURE, Calibration, ErrorRates, FingerprintBundle, MetaVerifier, ModelCard
from metav_audit.errors import BundleError
from metav_audit.statistics import USUAL_RATIOS, RatioRules, WeightTable, fit_weight
from metav_audit.task import FULL_VIEW, BoolArray, Features, OutputView
from metav_audit.verdict.reading import Reading
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.verdict import VerdictOutcome


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

    def fit_weight(self, rules: RatioRules = USUAL_RATIOS) -> WeightTable:
        """Fit the table of likelihood ratios on one score a lineage."""
        return fit_weight(self.lineage_scores(derived=True), self.lineage_scores(derived=False), rules)

    def without(self, lineage: str) -> CalibrationScores:
        """Leave out one lineage."""
        kept = np.array([card.lineage != lineage for card in self.models])
        models = tuple(card for card, stays in zip(self.models, kept, strict=True) if stays)
        return CalibrationScores(models, self.scores[kept])


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
    """Return (1 + number of ``others`` at least as high as ``score``) / (n + 1).

    >>> conformal_p_value(0.9, np.array([0.1, 0.2, 0.95]))
    0.5
    """
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


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule by which a suspect is judged, and controls like it: one for audits, evaluations, drills and self-checks.

    Attributes:
        bundle: whose verifier and rates.
        held_out: the calibration's scores, seen as the suspect is.
        weight: the likelihood ratios that belong to them.
        still: the rule without noise on the calibration; None where there is no noise.
        rules: the thresholds.
    """

    bundle: FingerprintBundle
    held_out: CalibrationScores
    weight: WeightTable
    still: Rule | None = None
    rules: Rules = RULES

    @classmethod
    def of(cls, bundle: FingerprintBundle, reading: Reading, rules: Rules = RULES) -> Rule:
        """Return the rule for a suspect that was read; see ``through``."""
        return cls.through(bundle, reading.view, reading.shown.answered, rules)

    @classmethod
    def through(
        cls,
        bundle: FingerprintBundle,
        view: OutputView = FULL_VIEW,
        answered: BoolArray | None = None,
        rules: Rules = RULES,
    ) -> Rule:
        """Return the rule for a suspect seen through a view; ``answered`` is as in ``calibration_scores``.

        Raises:
            BundleError: the bundle's table of likelihood ratios does not follow from its calibration.
        """
        held_out = calibration_scores(bundle, view, answered)
        fitted = held_out.fit_weight(rules.ratios)
        complete = view == FULL_VIEW and (answered is None or bool(answered.all()))
        if complete:
            check_table(bundle, fitted, rules)
        still = cls.through(bundle, replace(view, noise=0.0, seed=0), answered, rules) if view.noise else None
        return cls(bundle, held_out, bundle.weight if complete else fitted, still, rules)

    def without(self, lineage: str) -> Rule:
        """Return the rule that would hold if a lineage of the calibration were not there."""
        held_out = self.held_out.without(lineage)
        return replace(self, held_out=held_out, weight=held_out.fit_weight(self.rules.ratios))

    def score(self, shown: Features) -> float:
        """Score one model's answers."""
        return float(self.bundle.verifier.scores(shown.values[None], shown.mask[None])[0])

    def conclude(self, score: float) -> Judgement:
        """Judge a suspect's score: like ``judge``, and a match needs independents of the target's own architecture."""
        return guard(self.judge(score), self.held_out)

    def judge(self, score: float) -> Judgement:
        """Judge a score; behind noise an outcome has to be that of a calibration without noise, too."""
        judgement = judge(score, self.held_out, self.bundle.rates, self.weight)
        if self.still is None or self.still.judge(score).outcome is judgement.outcome:
            return judgement
        reason = f"{judgement.reason}, but not so beside calibration models without the noise"
        return replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE, reason=reason)

    def __call__(self, shown: Features) -> str:
        """Return the outcome of one control's answers; what blunts matches must not blunt the controls."""
        return self.judge(self.score(shown)).outcome


def check_table(bundle: FingerprintBundle, fitted: WeightTable, rules: Rules = RULES) -> None:
    """Raise BundleError unless the bundle's table follows from its calibration: an owner may have written any into it.

    Args:
        bundle: whose table.
        fitted: the table that its calibration gives, all of it shown.
        rules: how far the two may lie apart.
    """
    if bundle.weight.difference(fitted) > rules.ratio_table_tolerance:
        raise BundleError(
            "the bundle's table of likelihood ratios does not follow from its calibration: fit the bundle again"
        )
