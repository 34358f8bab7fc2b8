"""The rule over several looks: few of all models are ever named, so the suspect's own seldom is.

Groups are treated alike within themselves: target and siblings by their likeness to the suspect; the suspect and the
calibration's independent lineages by score, and of these those that start from the target's ancestor; the suspect and
its derived lineages, by the lowest. Of each group at
most a share of the promised rate is named over all looks, and at an early look only who stands out; see
``metav_audit.statistics.looks``. Who is not named yet has a p-value above the promise, so that the rule for one look
decides here, too. What else a match needs, it needs at its own look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle, MetaVerifier
from metav_audit.statistics import log_odds, place_over, quota_of
from metav_audit.task import BoolArray, Features, OutputView
from metav_audit.verdict.calibration import CalibrationScores, Scored
from metav_audit.verdict.judgement import Judgement, PValues, agreed
from metav_audit.verdict.reading import Reading
from metav_audit.verdict.rule import Rule
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.verdict import VerdictOutcome

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """One look.

    Attributes:
        answered: the queries answered up to it, bool of shape (N,).
        rule: the rule by these.
    """

    answered: BoolArray
    rule: Rule

    @property
    def still(self) -> Rule:
        """The rule without noise on the calibration."""
        return self.rule.still or self.rule


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one model shows at a look: its score, and how like it is to target and siblings, where there are any."""

    scored: Scored
    standing: Numbers | None


@dataclass(frozen=True, slots=True)
class OverLooks:
    """The rule for an audit that might stop early.

    Attributes:
        looks: those that were taken and had enough answers, and the last one taken.
        last: whether that was the last look of all.
    """

    looks: tuple[Look, ...]
    last: bool

    @classmethod
    def of(cls, bundle: FingerprintBundle, reading: Reading, rules: Rules = RULES) -> Self:
        """Return the rule for a suspect that was read; for the errors see ``Rule.through``."""
        taken = [*(each for each in reading.earlier if each.enough), reading]
        looks = tuple(Look(each.shown.answered, Rule.of(bundle, each, rules)) for each in taken)
        return cls(looks, reading.looks is None or not reading.looks.early)

    @property
    def held_out(self) -> CalibrationScores:
        """The calibration's scores at the last look taken."""
        return self._now.held_out

    @property
    def verifier(self) -> MetaVerifier:
        """The bundle's, for suspects that are seen so."""
        return self._now.verifier

    @classmethod
    def through(cls, bundle: FingerprintBundle, view: OutputView, answered: Sequence[BoolArray], *, last: bool) -> Self:
        """Return the rule for a suspect seen through a view that answered so many queries up to each look."""
        return cls(tuple(Look(each, Rule.through(bundle, view, each)) for each in answered), last)

    def weighed(self, shown: Features) -> Judgement:
        """Judge a suspect's answers at the last look taken."""
        return self._now.guarded(self._judge(self._seen(shown)))

    def __call__(self, shown: Features) -> str:
        """Return the outcome of one control's answers: that of the first look that has one."""
        seen = self._seen(shown)
        for taken in range(1, len(seen) + 1):
            outcome = self._judge(seen[:taken]).outcome
            if outcome is not VerdictOutcome.INCONCLUSIVE:
                return outcome
        return VerdictOutcome.INCONCLUSIVE

    @property
    def _now(self) -> Rule:
        return self.looks[-1].rule

    def _seen(self, shown: Features) -> list[_Seen]:
        found = []
        for look in self.looks:
            mask = shown.mask & look.answered[:, None]
            part = Features(np.where(mask, shown.values, 0).astype(np.float32)[None], mask[None])
            standings = look.rule.verifier.standings(part.values, part.mask)
            scored = look.rule.score_all(part)[0]
            found.append(_Seen(scored, None if standings is None else standings[0]))
        return found

    def _judge(self, seen: Sequence[_Seen]) -> Judgement:
        """Judge at the last of some looks."""
        look = self.looks[len(seen) - 1]
        judgement = self._beside(seen, lambda each: each.rule)
        return judgement if look.rule.still is None else agreed(judgement, self._beside(seen, lambda each: each.still))

    def _beside(self, seen: Sequence[_Seen], rule_of: Callable[[Look], Rule]) -> Judgement:
        """Judge beside one calibration at each look."""
        rules = [rule_of(look) for look in self.looks[: len(seen)]]
        last = self.last and len(seen) == len(self.looks)
        rates = rules[-1].bundle.rates

        def p_value(rate: float, sign: float, group: Callable[[CalibrationScores], Numbers]) -> float:
            scores = [
                sign * log_odds(np.append(each.scored.score, group(rule.held_out)))
                for each, rule in zip(seen, rules, strict=True)
            ]
            return _p_value(np.stack(scores), rate, rules[-1].rules.look_lead, last=last)

        kin = len(rules[-1].held_out.kin_scores)
        p_values = PValues(
            p_value(rates.false_match, 1.0, lambda held_out: held_out.by_lineage(derived=False)),
            p_value(rates.false_no_match, -1.0, lambda held_out: held_out.by_lineage(derived=True)),
            p_value(rates.false_match, 1.0, lambda held_out: held_out.kin_scores) if kin else None,
        )
        scored = seen[-1].scored
        standings = [each.standing for each in seen if each.standing is not None]
        if standings:
            rank = _p_value(np.stack(standings), rates.false_match, rules[-1].rules.look_lead, last=last)
            scored = replace(scored, p_value_siblings=rank)
        return rules[-1].judge_plainly(scored, p_values)


def _p_value(looks: Numbers, rate: float, lead: float, *, last: bool) -> float:
    """Return the first member's place among all, as a share; above the rate where it is not named yet."""
    members = int(looks.shape[1])
    quota = quota_of(rate, members)
    place, named = place_over(looks, quota, lead, last=last)
    return (place if named or last else max(place, quota + 1)) / members
