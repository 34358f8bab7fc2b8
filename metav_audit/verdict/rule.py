"""The rule: one score beside the calibration's scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import ErrorRates, FingerprintBundle, MetaVerifier
from metav_audit.errors import BundleError
from metav_audit.statistics import WeightTable, log_odds
from metav_audit.task import FULL_VIEW, BoolArray, Features, OutputView
from metav_audit.verdict.calibration import CalibrationScores, Scored, calibration_scores, scored_through
from metav_audit.verdict.reading import Reading
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.verdict import VerdictOutcome


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a score says beside the calibration's scores; the fields are those of Verdict."""

    outcome: VerdictOutcome
    score: float
    p_value: float
    p_value_derived: float
    log10_lr: float
    log10_lr_bounds: tuple[float, float]
    p_value_siblings: float | None
    p_value_family: float | None
    reason: str


def conformal_p_value(score: float, others: NDArray[np.float64]) -> float:
    """Return (1 + number of ``others`` at least as high as ``score``) / (n + 1).

    >>> conformal_p_value(0.9, np.array([0.1, 0.2, 0.95]))
    0.5
    """
    return (1 + int((others >= score).sum())) / (len(others) + 1)


def guard(
    judgement: Judgement, held_out: CalibrationScores, stranger: str | None = None, *, unknown_kin: bool = False
) -> Judgement:
    """Let a match stand only where some independent models have the target's own architecture, trained as it was.

    They are the ones that come near it, and what others score promises nothing of them: without them the observed rate
    of false matches was .13 at a promised .05; with a target that is a stranger among them rivals who train as its
    owner does were accused in 10 of 28 cases (docs/methods.md).

    Args:
        judgement: what the figures give.
        held_out: the calibration.
        stranger: what ``stranger_in`` says of the bundle.
        unknown_kin: whether the target was tuned from an ancestor, and there are neither siblings nor independents that
            start from it: 14 of 14 rivals that did were accused.
    """
    known = held_out.knows_own_architecture and not unknown_kin
    if judgement.outcome is not VerdictOutcome.MATCH or (known and stranger is None):
        return judgement
    why = _UNKNOWN_KIN if unknown_kin else _UNKNOWN_ARCHITECTURE
    why = why if stranger is None else f"{_STRANGER}: {stranger}"
    return replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE, reason=f"{judgement.reason}, but {why}")


def ancestor_of(bundle: FingerprintBundle) -> str | None:
    """Return the SHA-256 of the weights that the target was tuned from; None where none are named."""
    stated = bundle.provenance.get("ancestor")
    return None if stated is None else str(stated)[:64]


def stranger_in(bundle: FingerprintBundle) -> str | None:
    """Say in what the target behaves otherwise than the zoo's models of its architecture; None where it does not.

    With siblings it does not matter: the zoo is not what the promise rests on.
    """
    told = bundle.provenance.get("stranger")
    if not isinstance(told, Mapping) or not told.get("is_stranger"):
        return None
    return str(told.get("differs"))[:_MOST_TOLD]


_MOST_TOLD = 400
_STRANGER = (
    "the target behaves like none of the independent models of its architecture, so that rivals who train as its owner "
    "does may come as near: the promised rate of false matches does not hold for them"
)
_UNKNOWN_KIN = (
    "none of these independent models starts from the target's ancestor, and those that do come nearest: the promised "
    "rate of false matches does not hold for them"
)
_UNKNOWN_ARCHITECTURE = (
    "none of these independent models has the target's own architecture, and those that have it come nearest: the "
    "promised rate of false matches does not hold for them"
)


def judge(
    scored: Scored, held_out: CalibrationScores, rates: ErrorRates, weight: WeightTable, rules: Rules = RULES
) -> Judgement:
    """Judge one model: a match is rare among independents and usual among derived models; a no-match the reverse.

    A no-match lies no lower than the lowest independent model, a match not far below the lowest derived one.
    Where the target has siblings, a match is rare among
    them, too, for this suspect, and a no-match is usual. Either stands only where the likelihood ratio supports the
    same proposition, and strongly enough: what one figure says and another does not is no conclusion.
    """
    score, rank = scored.score, scored.p_value_siblings
    p_value = conformal_p_value(score, held_out.lineage_scores(derived=False))
    p_value_derived = conformal_p_value(-score, -held_out.lineage_scores(derived=True))
    p_value_family = None if scored.family is None else conformal_p_value(scored.family, held_out.strangers_to_family)
    outcome, reason = _JUDGEMENTS[p_value <= rates.false_match, p_value_derived <= rates.false_no_match]
    log10_lr = float(weight.weigh(score))
    objection = _objection(outcome, log10_lr, rank, rates, rules)
    if objection is None and outcome is VerdictOutcome.MATCH:
        objection = _usual_among_kin(score, held_out, rates)
    if objection is None and outcome is VerdictOutcome.NO_MATCH and score < held_out.lowest_independent:
        objection = _BELOW_ALL
    if objection is None and outcome is VerdictOutcome.MATCH and _far_below(score, held_out, rules):
        objection = _BELOW_DERIVED
    bounds = weight.low, weight.high
    found = Judgement(outcome, score, p_value, p_value_derived, log10_lr, bounds, rank, p_value_family, reason)
    return _of_family(found, rates) if objection is None else unless(found, objection, rates)


def unless(judgement: Judgement, objection: str | None, rates: ErrorRates) -> Judgement:
    """Take back a match or a no-match to which there is an objection, and name the family where that is certain."""
    if objection is None or judgement.outcome is VerdictOutcome.INCONCLUSIVE:
        return judgement
    reason = f"{judgement.reason}, but {objection}"
    return _of_family(replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE, reason=reason), rates)


def _of_family(judgement: Judgement, rates: ErrorRates) -> Judgement:
    p_value = judgement.p_value_family
    certain = p_value is not None and p_value <= rates.false_match
    if not certain or judgement.outcome is not VerdictOutcome.INCONCLUSIVE:
        return judgement
    return replace(judgement, reason=f"{FAMILY}: {judgement.reason}")


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


def _objection(
    outcome: VerdictOutcome, log10_lr: float, rank: float | None, rates: ErrorRates, rules: Rules
) -> str | None:
    """Say what speaks against an outcome that the score's p-values gave; None where nothing does."""
    if outcome is VerdictOutcome.INCONCLUSIVE:
        return None
    match = outcome is VerdictOutcome.MATCH
    supported = log10_lr if match else -log10_lr
    least = rules.least_ratio_at(rates.false_match if match else rates.false_no_match)
    if not supported > 0:
        more, what = ("more", "derivation") if match else ("less", "independence")
        return f"it is no {more} probable if derived: the likelihood ratio does not support {what}"
    if supported < math.log10(least) - _ROUNDED:
        return f"the likelihood ratio supports it {10**supported:.3g} times, and at least {least:g} times are asked for"
    if rank is not None and match and rank > rates.false_match:
        return (
            "it is not rare among the target's siblings: reruns of the owner's own training come as near to this "
            f"suspect in {rank:.0%} of the cases"
        )
    if rank is not None and not match and rank < rules.unlike:
        return (
            f"only {rank:.0%} of target and siblings are as near to the suspect as the target: a copy of a kind that "
            "the zoo lacks may be so"
        )
    return None


def _usual_among_kin(score: float, held_out: CalibrationScores, rates: ErrorRates) -> str | None:
    """Say that a score is usual among independents that start from the target's ancestor; None where it is rare."""
    kin = held_out.kin_scores
    p_value = conformal_p_value(score, kin) if len(kin) else 0.0
    if p_value <= rates.false_match:
        return None
    return (
        "it is not rare among independent models that start from the target's ancestor, as rivals may "
        f"(p = {p_value:.3g} among {len(kin)} of them)"
    )


FAMILY = "derived from the ancestor's family, whose child can't be told"
"""What an inconclusive verdict says where the family is certain."""

_BELOW_ALL = (
    "it lies below that of every independent model: an endpoint that is asked wrongly, or that does another "
    "task, scores so"
)

_BELOW_DERIVED = "it lies far below that of every derived model: what is so far from the target may be anyone's"


def _far_below(score: float, held_out: CalibrationScores, rules: Rules) -> bool:
    """Say whether a score lies further below the lowest derived lineage than a share of how these spread."""
    derived = log_odds(held_out.lineage_scores(derived=True))
    lowest = float(derived.min(initial=np.inf))
    return bool(log_odds(score) < lowest - rules.below_derived * (float(np.median(derived)) - lowest))


_ROUNDED = 1e-6
"""A log10 LR is told with six decimals."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule by which a suspect is judged, and controls like it: one for audits, evaluations, drills and self-checks.

    Attributes:
        bundle: whose rates.
        verifier: the bundle's, for suspects that are seen so.
        held_out: the calibration's scores, seen as the suspect is.
        weight: the likelihood ratios that belong to them.
        still: the rule without noise on the calibration; None where there is no noise.
        rules: the thresholds.
    """

    bundle: FingerprintBundle
    verifier: MetaVerifier
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
        verifier = bundle.verifier.through(view, bundle.task.output)
        return cls(bundle, verifier, held_out, bundle.weight if complete else fitted, still, rules)

    def without(self, lineage: str) -> Rule:
        """Return the rule that would hold if a lineage of the calibration were not there."""
        held_out = self.held_out.without(lineage)
        return replace(self, held_out=held_out, weight=held_out.fit_weight(self.rules.ratios))

    def score(self, shown: Features) -> Scored:
        """Score one model's answers."""
        return self.score_all(Features(shown.values[None], shown.mask[None]))[0]

    def score_all(self, shown: Features) -> tuple[Scored, ...]:
        """Score the answers of M models, of shape (M, N, D)."""
        return scored_through(self.verifier, shown)

    def conclude(self, scored: Scored) -> Judgement:
        """Judge a suspect: like ``judge``, and a match needs independents of the target's own architecture and make."""
        rivals = self.held_out.kin_scores
        unknown_kin = self.verifier.siblings is None and ancestor_of(self.bundle) is not None and not len(rivals)
        return guard(self.judge(scored), self.held_out, stranger_in(self.bundle), unknown_kin=unknown_kin)

    def judge(self, scored: Scored) -> Judgement:
        """Judge a model; behind noise an outcome has to be that of a calibration without noise, too."""
        judgement = judge(scored, self.held_out, self.bundle.rates, self.weight, self.rules)
        if self.still is None or self.still.judge(scored).outcome is judgement.outcome:
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
