"""Whether the endpoint was asked rightly: it does the task on natural inputs, and answers none as if it misread them.

Each fault is a sentence that leads to "inconclusive": where the target gets natural inputs right and the endpoint does
not, the request is wrong and not the model. What the target itself answers to inputs that reach it wrongly tells which
mistake fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from metav_audit.bundle import SOURCES, FingerprintBundle, NaturalInputs
from metav_audit.task import Features, FloatArray, OutputSpace, OutputView, ScoreKind, features
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.rightness import least_rightness, rightness
from metav_audit.verdict.rules import Rules

CAUSES = "encoding, scale, layout, colour order, normalisation, label map"
"""What is usually wrong with a request."""

NOT_ASKED = "no natural inputs were asked: that the endpoint was asked rightly is not shown"


@dataclass(frozen=True, slots=True)
class Understanding:
    """What the answers to natural inputs tell.

    Attributes:
        words: what was asked and how it went, in a sentence's words.
        faults: a sentence for each reason to think that the request was wrong.
    """

    words: str
    faults: tuple[str, ...]


def understanding(
    bundle: FingerprintBundle, asked: Asked, shown: Features, kind: ScoreKind, view: OutputView, rules: Rules
) -> Understanding:
    """Say whether an endpoint understood what it was asked.

    Args:
        bundle: whose natural inputs were asked, if it has any.
        asked: what came back.
        shown: the canonical features of the answers to the fingerprint.
        kind: in which form scores are written.
        view: what the endpoint shows; models are compared as it would show them.
        rules: the thresholds.
    """
    natural, space = bundle.natural, bundle.task.output
    if natural is None:
        return Understanding(NOT_ASKED, ())
    own = features([each.answer for each in asked.natural], space, kind)
    wanted = int(asked.wanted_natural.sum())
    said = f"{wanted} natural inputs {SOURCES[natural.source]}: {own.answered.sum()} answered"
    if own.answered.sum() < rules.minimum_share_answered * wanted:
        few = f"only {own.answered.sum()} of {wanted} natural inputs were answered: {_UNKNOWN}"
        return Understanding(said, (few,))
    compared = _Compared.of(bundle, natural, shown, own, view)
    words = f"{said}, {space.achieved(compared.right(own), int(own.answered.sum()))}"
    return Understanding(words, tuple(_faults(compared, own, rules)))


_NAMED = 2
"""Mistakes that are named at most, those that fit best."""

_UNKNOWN = "whether the endpoint was asked rightly is not known"


@dataclass(frozen=True, slots=True)
class _Compared:
    """An endpoint's answers to queries and natural inputs beside the target's, the calibration's and misread ones.

    Attributes:
        space: the task's outputs.
        view: what the endpoint shows, noise aside.
        natural: the bundle's natural inputs.
        own: the endpoint's features, (N + K, D), with their mask.
        target: the target's, (N + K, D).
        models: the calibration's, (M, N + K, D).
        misread: the target's where inputs or answers are misread, (W, N + K, D).
    """

    space: OutputSpace
    view: OutputView
    natural: NaturalInputs
    own: Features
    target: FloatArray
    models: FloatArray
    misread: FloatArray

    @classmethod
    def of(
        cls, bundle: FingerprintBundle, natural: NaturalInputs, shown: Features, own: Features, view: OutputView
    ) -> _Compared:
        both = Features(np.concatenate([shown.values, own.values]), np.concatenate([shown.mask, own.mask]))
        target = np.concatenate([bundle.reference, natural.reference])
        models = np.concatenate([bundle.calibration.features[: len(natural.models)], natural.models], axis=1)
        still = replace(view, noise=0.0, seed=0)
        return cls(bundle.task.output, still, natural, both, target, models, natural.misread)

    def right(self, own: Features) -> float:
        """Return how well the natural inputs are answered."""
        return rightness(own, self.natural.reference, self.natural.models, self.space)

    def least_right(self) -> float:
        """Return how well the least right model of the calibration answers them."""
        return least_rightness(self.natural.reference, self.natural.models, self.space)

    def nearer(self, least: float) -> Iterator[tuple[str, float, float]]:
        """Yield for each misreading by how much the endpoint's answers, and any model's at most, lie nearer to it.

        A share of how far it lies from the target's own answers, so in [-1, 1]; misreadings that lie nearer than
        ``least`` are left out.
        """
        target, mask = self._seen(self.target), self.own.mask
        own, models = (
            self._distance(self.own, target),
            [self._distance(self._seen(each), target) for each in self.models],
        )
        for name, values in zip(self.natural.misreadings, self.misread, strict=True):
            misread = self._seen(values)
            apart = self._distance(Features(misread.values, misread.mask & mask), target)
            if apart < least:
                continue
            theirs = max(
                at_home - self._distance(self._seen(each), misread)
                for each, at_home in zip(self.models, models, strict=True)
            )
            yield name, (own - self._distance(self.own, misread)) / apart, theirs / apart

    def _seen(self, values: FloatArray) -> Features:
        """Show full answers as the endpoint would, to what it answered."""
        full = np.broadcast_to(self.own.answered[:, None], values.shape)
        return self.view.apply(Features(np.where(full, values, 0).astype(np.float32), full.copy()), self.space)

    def _distance(self, one: Features, other: Features) -> float:
        """Return how far answers lie apart on average: the total variation of what is shown, or units."""
        if self.space.labelled:
            shares = [np.where(each.mask, np.exp(each.values), 0.0) for each in (one, other)]
            apart = np.abs(shares[0] - shares[1]).sum(axis=-1) / 2
            return float(apart[self.own.answered].mean())
        both = one.mask & other.mask
        return float(np.abs(one.values - other.values)[both].mean()) if both.any() else 0.0


def _faults(compared: _Compared, own: Features, rules: Rules) -> Iterator[str]:
    right, floor = compared.right(own), rules.least_right * compared.least_right()
    fits = [
        (name, share)
        for name, share, theirs in compared.nearer(rules.misread_apart)
        if share > max(rules.misread, theirs)
    ]
    fits += [(_shifted(by), 0.95) for by in _shifts(compared, own, floor)]
    ranked = dict.fromkeys(name for name, _ in sorted(fits, key=lambda each: -each[1]))
    named = "; or ".join(list(ranked)[:_NAMED])
    if right < floor:
        achieved = compared.space.achieved(right, int(own.answered.sum()))
        yield (
            f"the endpoint does not do the task on natural inputs that the target and its zoo get right ({achieved}): "
            "the request is wrong, or its answers are read wrongly; "
            + (f"what fits: {named}" if fits else f"see to {CAUSES}")
        )
    elif fits:
        yield (
            f"the answers are nearer to those that the target gives where it is asked wrongly than to its own: what "
            f"fits: {named}"
        )


def _shifts(compared: _Compared, own: Features, floor: float) -> Iterator[int]:
    """Yield by how many places the labels may be shifted, if they are."""
    if not compared.space.labelled or compared.right(own) >= floor:
        return
    for by in range(1, compared.space.size):
        moved = Features(np.roll(own.values, by, axis=1), np.roll(own.mask, by, axis=1))
        if compared.right(moved) >= floor:
            yield by


def _shifted(by: int) -> str:
    return f"labels are shifted by {by}: mend label_map, or the order of labels"
