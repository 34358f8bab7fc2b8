"""The calibration's scores: those of held-out models, seen as the suspect is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import OWN_ARCHITECTURE, Calibration, FingerprintBundle, MetaVerifier, ModelCard
from metav_audit.statistics import USUAL_RATIOS, RatioRules, WeightTable, fit_weight
from metav_audit.task import FULL_VIEW, BoolArray, Features, OutputView

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is known of one model's answers before they are judged.

    Attributes:
        score: the meta-verifier's, in [0, 1].
        p_value_siblings: of the model's rank among the target's siblings, in (0, 1]; None without siblings.
        family: how like it is to the family of the target's ancestor, in [-1, 1]; None where nothing is known of one.
    """

    score: float
    p_value_siblings: float | None = None
    family: float | None = None


def scored_through(verifier: MetaVerifier, shown: Features) -> tuple[Scored, ...]:
    """Score the answers of M models, of shape (M, N, D); the verifier is the one for such a view."""
    scores, ranks = verifier.ranked(shown.values, shown.mask)
    family = verifier.family(shown.values, shown.mask)
    others = [[None] * len(scores) if each is None else each.tolist() for each in (ranks, family)]
    return tuple(Scored(*told) for told in zip(scores.tolist(), *others, strict=True))


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
    def scores(self) -> Numbers:
        """The scores, float64 of shape (M,)."""
        return np.array([one.score for one in self.scored], dtype=np.float64)

    def lineage_scores(self, derived: bool) -> Numbers:
        """One score a lineage of that side, sorted: its highest for independents, its lowest for derived ones.

        Models of one lineage are no independent witnesses, so each lineage counts once, by the member that speaks
        most against the verdict that the side guards.
        """
        return np.sort(self.by_lineage(derived))

    def by_lineage(self, derived: bool) -> Numbers:
        """Return what ``lineage_scores`` does, in the order of the lineages' first models."""
        rows = zip(self.models, self.scores.tolist(), strict=True)
        return _one_a_lineage(
            ((card, score) for card, score in rows if card.derived == derived), min if derived else max
        )

    @property
    def kin_scores(self) -> Numbers:
        """The highest score of each independent lineage that starts from the target's ancestor."""
        rows = zip(self.models, self.scores.tolist(), strict=True)
        return _one_a_lineage(((card, score) for card, score in rows if not card.derived and card.of_ancestor), max)

    @property
    def strangers_to_family(self) -> Numbers:
        """How like to the ancestor's family independent lineages are that do not start from it."""
        rows = zip(self.models, self.scored, strict=True)
        known = [(card, one.family) for card, one in rows if not card.derived and not card.of_ancestor]
        return _one_a_lineage(((card, one) for card, one in known if one is not None), max)

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


def _one_a_lineage(rows: Iterable[tuple[ModelCard, float]], worst: Callable[[float, float], float]) -> Numbers:
    """Return one number a lineage, in the order of their first models."""
    by_lineage: dict[str, float] = {}
    for card, number in rows:
        by_lineage[card.lineage] = worst(number, by_lineage.get(card.lineage, number))
    return np.array(list(by_lineage.values()), dtype=np.float64)


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
