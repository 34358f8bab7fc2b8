"""The calibration's scores: those of held-out models, seen as the suspect is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import OWN_ARCHITECTURE, Calibration, FingerprintBundle, MetaVerifier, ModelCard
from metav_audit.statistics import USUAL_RATIOS, RatioRules, WeightTable, fit_weight
from metav_audit.task import FULL_VIEW, BoolArray, Features, OutputView


@dataclass(frozen=True, slots=True)
class Scored:
    """What is known of one model's answers before they are judged.

    Attributes:
        score: the meta-verifier's, in [0, 1].
        p_value_siblings: of the model's rank among the target's siblings, in (0, 1]; None without siblings.
    """

    score: float
    p_value_siblings: float | None = None


def scored_through(verifier: MetaVerifier, shown: Features) -> tuple[Scored, ...]:
    """Score the answers of M models, of shape (M, N, D); the verifier is the one for such a view."""
    scores, ranks = verifier.ranked(shown.values, shown.mask)
    others = [None] * len(scores) if ranks is None else ranks.tolist()
    return tuple(Scored(score, rank) for score, rank in zip(scores.tolist(), others, strict=True))


@dataclass(frozen=True, slots=True)
class CalibrationScores:
    """The scores of the calibration models, under the mask of what the suspect answered.

    Attributes:
        models: one card a model.
        scored: what is known of each, in the same order.
    """

    models: tuple[ModelCard, ...]
    scored: tuple[Scored, ...]

    @property
    def scores(self) -> NDArray[np.float64]:
        """The scores, float64 of shape (M,)."""
        return np.array([one.score for one in self.scored], dtype=np.float64)

    def lineage_scores(self, derived: bool) -> NDArray[np.float64]:
        """One score a lineage of that side, sorted: its highest for independents, its lowest for derived ones.

        Models of one lineage are no independent witnesses, so each lineage counts once, by the member that speaks
        most against the verdict that the side guards.
        """
        return np.sort(self.by_lineage(derived))

    def by_lineage(self, derived: bool) -> NDArray[np.float64]:
        """Return what ``lineage_scores`` does, in the order of the lineages' first models."""
        found: dict[str, float] = {}
        worst = min if derived else max
        for card, score in zip(self.models, self.scores.tolist(), strict=True):
            if card.derived == derived:
                found[card.lineage] = worst(score, found.get(card.lineage, score))
        return np.array(list(found.values()), dtype=np.float64)

    @property
    def lowest_independent(self) -> float:
        """The score of the independent model that scores lowest."""
        both = zip(self.models, self.scored, strict=True)
        return min((one.score for card, one in both if not card.derived), default=0.0)

    @property
    def highest_derived(self) -> float:
        """The score of the derived model that scores highest."""
        both = zip(self.models, self.scored, strict=True)
        return max((one.score for card, one in both if card.derived), default=1.0)

    @property
    def knows_own_architecture(self) -> bool:
        """Whether some independent model has the target's own architecture."""
        return any(card.architecture == OWN_ARCHITECTURE and not card.derived for card in self.models)

    def fit_weight(self, rules: RatioRules = USUAL_RATIOS) -> WeightTable:
        """Fit the table of likelihood ratios on one score a lineage."""
        return fit_weight(self.lineage_scores(derived=True), self.lineage_scores(derived=False), rules)

    def without(self, lineage: str) -> CalibrationScores:
        """Leave out one lineage."""
        rows = zip(self.models, self.scored, strict=True)
        kept = [row for row in rows if row[0].lineage != lineage]
        return CalibrationScores(tuple(card for card, _ in kept), tuple(scored for _, scored in kept))


def scores_in_full(verifier: MetaVerifier, calibration: Calibration) -> CalibrationScores:
    """Score the calibration models on all that they answered."""
    features = calibration.features
    shown = Features(features, np.ones(features.shape, dtype=np.bool_))
    return CalibrationScores(calibration.models, scored_through(verifier, shown))


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
    verifier = bundle.verifier.through(view, bundle.task.output)
    return CalibrationScores(bundle.calibration.models, scored_through(verifier, shown))
