"""The scores and verdicts of one method on one target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metav_audit.bundle import ErrorRates, ModelCard
from metav_audit.evaluation.conditions import USUAL, Condition
from metav_audit.statistics import Scores, WeightTable
from metav_audit.verdict import VerdictOutcome


@dataclass(frozen=True, slots=True)
class TestScores:
    """One method on one target: the test models, their scores and verdicts.

    Attributes:
        project: the project's name and seed, such as "digits 10".
        method: the method.
        models: one card a test model.
        scores: float64 of shape (T,).
        outcomes: the verdict on each.
        weight: the likelihood ratios that belong to what was shown.
        rates: the error rates that the bundle promises.
        condition: what was shown, and of how many queries.
        left_out: what fit and calibration did without, such as a family; None where nothing was left out.
        unguarded: what the verdicts would be if a match needed no independents of the target's own architecture in the
            calibration.
    """

    project: str
    method: str
    models: tuple[ModelCard, ...]
    scores: Scores
    outcomes: tuple[VerdictOutcome, ...]
    weight: WeightTable
    rates: ErrorRates
    condition: Condition = USUAL
    left_out: str | None = None
    unguarded: tuple[VerdictOutcome, ...] = ()

    def side(self, *, derived: bool) -> Scores:
        """Return the scores of one side."""
        inside = np.array([card.derived is derived for card in self.models])
        return np.asarray(self.scores[inside], dtype=np.float64)

    def log10_lrs(self) -> tuple[Scores, Scores]:
        """Return the log10 likelihood ratios of derived and of independent models."""
        return self.weight.weigh(self.side(derived=True)), self.weight.weigh(self.side(derived=False))

    def share(self, outcome: VerdictOutcome, *, derived: bool) -> float:
        """Return the share of one side that got this verdict."""
        hits = [one is outcome for one, card in zip(self.outcomes, self.models, strict=True) if card.derived is derived]
        return float(np.mean(hits))
