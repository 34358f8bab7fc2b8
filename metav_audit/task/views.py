"""Views: what an API shows of its models' outputs, found from its answers and applied to the calibration's.

A suspect seen through a view is compared with calibration models seen through the same view: cut to as many classes,
rounded to as many decimals, with as much noise. So the verdict's error rates hold whatever is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.task.answers import Answer, Features, FloatArray
from metav_audit.task.outputs import OutputSpace, ScoreKind

_TINY = 1e-12
_TOLD = (ScoreKind.PROBABILITY, ScoreKind.PERCENT, ScoreKind.VALUE)
"""Scores whose decimals and noise can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRules:
    """How a view is found from answers.

    Attributes:
        most_decimals: probabilities and values with more decimals than this are taken as they are.
        most_noise: answers that differ more from call to call are not those of one model with noise on them.
        least_rounds: rounds of the same inputs in which noise can be told from a model that was changed.
        alike: rounds that nowhere lie further apart than this share of the noise are the same answer twice, and so no
            noise.
        largest_step: the share of the rounds' spread that a single step may explain: near 1 where a model was changed.
        sum_tolerance: by how much probabilities that an API brought to add up to 1 may not: those cut off at one in
            a million, too.
        exactness: scores that rounding changes by less are the rounded ones.
    """

    most_decimals: int = 4
    most_noise: float = 0.02
    least_rounds: int = 4
    alike: float = 0.1
    largest_step: float = 0.6
    sum_tolerance: float = 1e-4
    exactness: float = 1e-9


USUAL_VIEWS = ViewRules()


@dataclass(frozen=True, slots=True)
class OutputView:
    """What an API shows of an output.

    Attributes:
        top: how many classes it shows at most, the likeliest first; None for all of them.
        decimals: decimals of a probability or a value; None for all of them.
        label_only: whether it shows the likeliest class alone, without a score.
        noise: standard deviation of what it adds to a probability, or to a value in its canonical unit; 0 for none.
        seed: of the noise that calibration models are given.

    >>> from metav_audit.task.outputs import ClassScores
    >>> OutputView(top=3, decimals=2).words(ClassScores(('cat', 'dog', 'hen', 'owl')))
    'the top 3 classes, 2 decimals'
    """

    top: int | None = None
    decimals: int | None = None
    label_only: bool = False
    noise: float = 0.0
    seed: int = 0

    def words(self, space: OutputSpace) -> str:
        """Name the view of such outputs in a few words."""
        if self.label_only:
            return "the label alone"
        shown = f"all {space.parts}" if self.top is None else f"the top {self.top} {space.parts}"
        rounded = shown if self.decimals is None else f"{shown}, {self.decimals} decimals"
        return f"{rounded}, noise of {self.noise:g}" if self.noise else rounded

    def shows_all_of(self, other: OutputView) -> bool:
        """Say whether whatever ``other`` shows can be seen through this view, too.

        >>> OutputView(decimals=3).shows_all_of(OutputView(decimals=2))
        True
        """
        if self.label_only:
            return other.label_only
        classes = self.top is None or (other.top is not None and self.top >= other.top)
        return classes and (
            self.decimals is None
            or other.label_only
            or (other.decimals is not None and self.decimals >= other.decimals)
        )

    def apply(self, features: Features, space: OutputSpace) -> Features:
        """Show full canonical features of shape (..., N, D) as an API with this view would."""
        if self.label_only:
            return _top(Features(np.zeros_like(features.values), features.mask), features.values, 1)
        given = with_noise(features.values, self.noise, space, self.seed) if self.noise else features.values
        values = given if self.decimals is None else _rounded(given, self.decimals, space)
        rounded = Features(values, features.mask)
        return rounded if self.top is None else _top(rounded, given, self.top)


FULL_VIEW = OutputView()


def with_noise(values: FloatArray, deviation: float, space: OutputSpace, seed: int) -> FloatArray:
    """Return canonical features of shape (..., D) as shown by an API that adds Gaussian noise.

    Probabilities below 0 are shown as 0, and all of them add up to 1 again; values stay within their space.
    """
    noise = deviation * np.random.default_rng(seed).standard_normal(values.shape)
    if not space.labelled:
        return space.canonical(space.shown(values + noise), ScoreKind.VALUE).astype(np.float32)
    shares = np.maximum(space.shown(values) + noise, 0.0)
    total = np.maximum(shares.sum(axis=-1, keepdims=True), _TINY)
    return space.canonical(shares / total, ScoreKind.PROBABILITY).astype(np.float32)


def find_noise(repeats: NDArray[np.float64], kind: ScoreKind, rules: ViewRules = USUAL_VIEWS) -> float:
    """Return the standard deviation of the noise in repeated answers, with two digits; 0 where it is something else.

    Noise is different in each round, no larger than the rules allow, and no two spells of rounds lie apart. A model
    that is changed, or two that answer by turns or by dice, do otherwise.

    Args:
        repeats: probabilities, or values in canonical units, of shape (rounds, inputs, D); NaN where none was shown.
        kind: of the scores that they were read from.
        rules: what counts as noise.
    """
    if kind not in _TOLD or len(repeats) < rules.least_rounds or (np.isnan(repeats) != np.isnan(repeats[0])).any():
        return 0.0
    rounds = repeats[:, ~np.isnan(repeats[0])]
    variances, means = rounds.var(axis=0, ddof=1), rounds.mean(axis=0)
    if not variances.any():
        return 0.0
    # 1. How strong it is. Where a probability is cut off at 0 its noise seems smaller than it is.
    inside = means >= 2 * np.sqrt(variances.max()) if kind is not ScoreKind.VALUE else np.ones_like(means, np.bool_)
    deviation = float(np.sqrt(variances[inside].mean() if inside.any() else variances.mean()))
    if kind is not ScoreKind.VALUE and np.allclose(repeats.sum(axis=-1), 1.0, atol=rules.sum_tolerance):
        # Bringing the sum to 1 took one part in as many as there are classes away.
        deviation /= np.sqrt(1 - 1 / repeats.shape[-1])
    # 2. Whether it is noise.
    apart = np.abs(rounds[:, None] - rounds[None]).max(axis=-1)
    alike = (apart < rules.alike * deviation) & ~np.eye(len(rounds), dtype=np.bool_)
    steady = not alike.any() and _largest_step(rounds) <= rules.largest_step * variances.sum() * (len(rounds) - 1)
    return float(f"{deviation:.2g}") if steady and deviation <= rules.most_noise else 0.0


def _largest_step(rounds: NDArray[np.float64]) -> float:
    """Return how much of the rounds' sum of squares a single step can explain, the best one."""
    spells = [np.split(rounds, [at]) for at in range(1, len(rounds))]
    weights = [len(one) * len(other) / len(rounds) for one, other in spells]
    steps = [((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum() for one, other in spells]
    return float(max(weight * step for weight, step in zip(weights, steps, strict=True)))


def find_view(
    answers: Sequence[Answer | None], space: OutputSpace, kind: ScoreKind, rules: ViewRules = USUAL_VIEWS
) -> OutputView:
    """Find the view from answers; without any answer it is the full view.

    Decimals are looked for in probabilities, percents and values alone, and only where an answer has scores that
    rounding would show: a one-hot answer looks rounded at any number of decimals, and tells nothing.
    """
    given = [answer.scores for answer in answers if answer is not None]
    if not given:
        return FULL_VIEW
    if kind is ScoreKind.LABEL:
        return OutputView(top=1, label_only=True)
    shown = max(sum(score is not None for score in scores) for scores in given)
    top = shown if shown < space.size and space.labelled else None
    told = [score for scores in given for score in scores if score is not None]
    return OutputView(top, _decimals(told, kind, rules))


def _decimals(scores: Sequence[float], kind: ScoreKind, rules: ViewRules) -> int | None:
    if kind not in _TOLD:
        return None
    values = np.asarray(scores, dtype=np.float64)
    shift = 2 if kind is ScoreKind.PERCENT else 0
    for decimals in range(rules.most_decimals + 1 - shift):
        if np.abs(values - np.round(values, decimals)).max() < rules.exactness:
            return decimals + shift
    return None


def _rounded(values: NDArray[np.float32], decimals: int, space: OutputSpace) -> NDArray[np.float32]:
    return space.canonical(np.round(space.shown(values), decimals), space.score_kinds[0]).astype(np.float32)


def _top(shown: Features, ranking: NDArray[np.float32], count: int) -> Features:
    """Keep the ``count`` classes that rank highest; ties go to the earlier class."""
    order = np.argsort(-np.where(shown.mask, ranking, -np.inf), axis=-1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    mask = shown.mask & (ranks < count)
    return Features(np.where(mask, shown.values, 0).astype(np.float32), mask)
