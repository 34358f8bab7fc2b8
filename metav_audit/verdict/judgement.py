"""What one score says beside the calibration's scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import ErrorRates
from metav_audit.statistics import WeightTable, log_odds
from metav_audit.verdict.calibration import CalibrationScores, Scored
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


class PValues(NamedTuple):
    """How rare a score is, one figure a group of the calibration's lineages.

    Attributes:
        independent: among the independent ones.
        derived: among the derived ones, the lowest first.
        kin: among independent ones that start from the target's ancestor; None without such.
    """

    independent: float
    derived: float
    kin: float | None = None

    @classmethod
    def of(cls, score: float, held_out: CalibrationScores) -> Self:
        """Return those of a score at a single look."""
        kin = held_out.kin_scores
        return cls(
            conformal_p_value(score, held_out.lineage_scores(derived=False)),
            conformal_p_value(-score, -held_out.lineage_scores(derived=True)),
            conformal_p_value(score, kin) if len(kin) else None,
        )


def judge(
    scored: Scored,
    held_out: CalibrationScores,
    rates: ErrorRates,
    weight: WeightTable,
    rules: Rules = RULES,
    p_values: PValues | None = None,
) -> Judgement:
    """Judge one model: a match is rare among independents and usual among derived models; a no-match the reverse.

    A no-match lies no lower than the lowest independent model, a match not far below the lowest derived one.
    Where the target has siblings, a match is rare among
    them, too, for this suspect, and a no-match is usual. Either stands only where the likelihood ratio supports the
    same proposition, and strongly enough: what one figure says and another does not is no conclusion.
    ``p_values`` stand in for those of the score alone, where there were several looks.
    """
    score, rank = scored.score, scored.p_value_siblings
    p_value, p_value_derived, kin = p_values or PValues.of(score, held_out)
    p_value_family = None if scored.family is None else conformal_p_value(scored.family, held_out.strangers_to_family)
    outcome, reason = _JUDGEMENTS[p_value <= rates.false_match, p_value_derived <= rates.false_no_match]
    log10_lr = float(weight.weigh(score))
    objection = _objection(outcome, log10_lr, rank, rates, rules)
    if objection is None and outcome is VerdictOutcome.MATCH:
        objection = _usual_among_kin(kin, held_out, rates)
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


def _usual_among_kin(p_value: float | None, held_out: CalibrationScores, rates: ErrorRates) -> str | None:
    """Say that a score is usual among independents that start from the target's ancestor; None where it is rare."""
    if p_value is None or p_value <= rates.false_match:
        return None
    return (
        "it is not rare among independent models that start from the target's ancestor, as rivals may "
        f"(p = {p_value:.3g} among {len(held_out.kin_scores)} of them)"
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


def agreed(judgement: Judgement, still: Judgement) -> Judgement:
    """Let an outcome stand where it is that of the calibration without noise, too."""
    if still.outcome is judgement.outcome:
        return judgement
    reason = f"{judgement.reason}, but not so beside calibration models without the noise"
    return replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE, reason=reason)
