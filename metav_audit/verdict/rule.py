"""The rule of a bundle: its scores and thresholds, through what the suspect shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from metav_audit.bundle import FingerprintBundle, MetaVerifier
from metav_audit.errors import BundleError
from metav_audit.statistics import WeightTable
from metav_audit.task import FULL_VIEW, BoolArray, Features, OutputView
from metav_audit.verdict.calibration import CalibrationScores, Scored, calibration_scores, scored_through
from metav_audit.verdict.judgement import Judgement, PValues, agreed, judge
from metav_audit.verdict.reading import Reading
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.verdict import VerdictOutcome


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
        return self.guarded(self.judge(scored))

    def guarded(self, judgement: Judgement) -> Judgement:
        """Let a match stand only beside independents of the target's own make; see ``guard``."""
        rivals = self.held_out.kin_scores
        unknown_kin = self.verifier.siblings is None and ancestor_of(self.bundle) is not None and not len(rivals)
        return guard(judgement, self.held_out, stranger_in(self.bundle), unknown_kin=unknown_kin)

    def judge(self, scored: Scored) -> Judgement:
        """Judge a model; behind noise an outcome has to be that of a calibration without noise, too."""
        judgement = self.judge_plainly(scored)
        return judgement if self.still is None else agreed(judgement, self.still.judge(scored))

    def judge_plainly(self, scored: Scored, p_values: PValues | None = None) -> Judgement:
        """Judge a model beside this calibration alone; see ``judge``."""
        return judge(scored, self.held_out, self.bundle.rates, self.weight, self.rules, p_values)

    def weighed(self, shown: Features) -> Judgement:
        """Judge a suspect's answers; see ``conclude``."""
        return self.conclude(self.score(shown))

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
