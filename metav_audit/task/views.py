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
        least_rounds: answers to the same input in which noise can be told from a model that was changed.
        alike: answers that nowhere lie further apart than this share of the noise are the same answer twice.
        most_alike: the share of pairs of answers to the same input that may be the same by chance.
        largest_step: the share of their spread that a single step may explain: near 1 where a model was changed.
        sum_tolerance: by how much probabilities that an API brought to add up to 1 may not: those cut off at one in
            a million, too.
        exactness: scores that rounding changes by less are the rounded ones.
        cut_answers: so many answers whose rounded shares of all classes miss a sum of 1, every one of them from below,
            were cut off after the last decimal and not rounded.
    """

    most_decimals: int = 4
    most_noise: float = 0.02
    least_rounds: int = 4
    alike: float = 0.1
    most_alike: float = 0.15
    largest_step: float = 0.6
    sum_tolerance: float = 1e-4
    exactness: float = 1e-9
    cut_answers: int = 20


USUAL_VIEWS = ViewRules()


@dataclass(frozen=True, slots=True)
class OutputView:
    """What an API shows of an output.

    Attributes:
        top: how many classes it shows at most, the likeliest first; None for all of them.
        decimals: decimals of a probability or a value; None for all of them.
        cut: whether what lies beyond these is cut off, and not rounded.
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
    cut: bool = False
    noise: float = 0.0
    seed: int = 0

    def words(self, space: OutputSpace) -> str:
        """Name the view of such outputs in a few words."""
        if self.label_only:
            return "the label alone"
        shown = f"all {space.parts}" if self.top is None else f"the top {self.top} {space.parts}"
        rounded = shown if self.decimals is None else f"{shown}, {self.decimals} decimals{', cut off' * self.cut}"
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
            or (other.decimals is not None and (self.decimals, not self.cut) >= (other.decimals, not other.cut))
        )

    def apply(self, features: Features, space: OutputSpace) -> Features:
        """Show full canonical features of shape (..., N, D) as an API with this view would."""
        if self.label_only:
            return _top(Features(np.zeros_like(features.values), features.mask), features.values, 1)
        given = with_noise(features.values, self.noise, space, self.seed) if self.noise else features.values
        values = given if self.decimals is None else _rounded(given, self.decimals, space, cut=self.cut)
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


def find_noise(
    repeats: Sequence[NDArray[np.float64]],
    kind: ScoreKind,
    rules: ViewRules = USUAL_VIEWS,
    order: Sequence[Sequence[int]] | None = None,
) -> float:
    """Return the standard deviation of the noise in repeated answers, with two digits; 0 where it is something else.

    Noise is different each time, no larger than the rules allow, and no two spells of time lie apart. A model that is
    changed, or two that answer by turns or by dice, do otherwise.

    Args:
        repeats: of each input asked again and again probabilities, or values in canonical units, of shape (times, D);
            NaN where none was shown.
        kind: of the scores that they were read from.
        rules: what counts as noise.
        order: of each input the moments of its answers, in one count for all; 0, 1, 2, ... by default.
    """
    moments = [list(range(len(each))) for each in repeats] if order is None else order
    often = [(each, at) for each, at in zip(repeats, moments, strict=True) if len(each) >= rules.least_rounds]
    if kind not in _TOLD or not often or any((np.isnan(each) != np.isnan(each[0])).any() for each, _ in often):
        return 0.0
    shown = [each[:, ~np.isnan(each[0])] for each, _ in often]
    variances = np.concatenate([each.var(axis=0, ddof=1) for each in shown])
    means = np.concatenate([each.mean(axis=0) for each in shown])
    if not variances.any():
        return 0.0
    # 1. How strong it is. Where a probability is cut off at 0 its noise seems smaller than it is.
    inside = means >= 2 * np.sqrt(variances.max()) if kind is not ScoreKind.VALUE else np.ones_like(means, np.bool_)
    deviation = float(np.sqrt(variances[inside].mean() if inside.any() else variances.mean()))
    sums = np.concatenate([each.sum(axis=-1) for each, _ in often])
    if kind is not ScoreKind.VALUE and np.allclose(sums, 1.0, atol=rules.sum_tolerance):
        # Bringing the sum to 1 took one part in as many as there are classes away.
        deviation /= np.sqrt(1 - 1 / often[0][0].shape[-1])
    # 2. Whether it is noise.
    alike = np.concatenate([_between(each) for each in shown]) < rules.alike * deviation
    spread = sum(float(each.var(axis=0, ddof=1).sum()) * (len(each) - 1) for each in shown)
    steady = (
        alike.mean() <= rules.most_alike
        and _largest_step(shown, [at for _, at in often]) <= rules.largest_step * spread
    )
    return float(f"{deviation:.2g}") if steady and deviation <= rules.most_noise else 0.0


def _between(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far any two answers lie apart where they lie furthest apart, of shape (pairs,)."""
    one, other = np.triu_indices(len(times), 1)
    return np.asarray(np.abs(times[one] - times[other]).max(axis=-1, initial=0.0))


def _largest_step(shown: Sequence[NDArray[np.float64]], order: Sequence[Sequence[int]]) -> float:
    """Return how much of the sum of squares a single step in time can explain, the best one."""
    return max(
        sum(_step(each, sum(moment < at for moment in moments)) for each, moments in zip(shown, order, strict=True))
        for at in sorted({moment for moments in order for moment in moments})
    )


def _step(times: NDArray[np.float64], first: int) -> float:
    """Return the sum of squares that a step behind the ``first`` answers explains."""
    if first in (0, len(times)):
        return 0.0
    one, other = times[:first], times[first:]
    weight = len(one) * len(other) / len(times)
    return float(weight * ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum())


def find_view(
    answers: Sequence[Answer | None], space: OutputSpace, kind: ScoreKind, rules: ViewRules = USUAL_VIEWS
) -> OutputView:
    """Find the view from answers; without any answer it is the full view.

    Decimals are looked for in probabilities, percents and values alone, and only where an answer has scores that
    rounding would show: a one-hot answer looks rounded at any number of decimals, and tells nothing.
    """
    given = [answer.scores for answer in answers if answer is not None and {*answer.scores} != {None}]
    if not given:
        return FULL_VIEW
    if kind is ScoreKind.LABEL:
        return OutputView(top=1, label_only=True)
    shown = max(sum(score is not None for score in scores) for scores in given)
    top = shown if shown < space.size and space.labelled else None
    told = [score for scores in given for score in scores if score is not None]
    decimals = _decimals(told, kind, rules)
    cut = decimals is not None and space.labelled and _is_cut(given, decimals, kind, rules)
    return OutputView(top, decimals, cut=cut)


def _decimals(scores: Sequence[float], kind: ScoreKind, rules: ViewRules) -> int | None:
    if kind not in _TOLD:
        return None
    values = np.asarray(scores, dtype=np.float64)
    shift = 2 if kind is ScoreKind.PERCENT else 0
    for decimals in range(rules.most_decimals + 1 - shift):
        with np.errstate(over="ignore"):  # A number too large to be rounded has no such decimals.
            if np.abs(values - np.round(values, decimals)).max() < rules.exactness:
                return decimals + shift
    return None


def _is_cut(given: Sequence[tuple[float | None, ...]], decimals: int, kind: ScoreKind, rules: ViewRules) -> bool:
    """Say whether shares were cut off: rounded ones add up to more than 1 as often as to less."""
    whole = [sum(scores) for scores in given if None not in scores]  # type: ignore[arg-type]
    missed = (np.array(whole) / (100 if kind is ScoreKind.PERCENT else 1) - 1) * 10.0**decimals
    odd = missed[np.abs(missed) > 0.5]
    return len(odd) >= rules.cut_answers and bool((odd < 0).all())


def _rounded(values: NDArray[np.float32], decimals: int, space: OutputSpace, *, cut: bool) -> NDArray[np.float32]:
    # A hair above, lest a share that has just so many decimals loses its last one.
    step = 10.0**decimals
    shown = space.shown(values)
    kept = np.floor(shown * step + 1e-6) / step if cut else np.round(shown, decimals)
    return space.canonical(kept, space.score_kinds[0]).astype(np.float32)


def _top(shown: Features, ranking: NDArray[np.float32], count: int) -> Features:
    """Keep the ``count`` classes that rank highest; ties go to the earlier class."""
    order = np.argsort(-np.where(shown.mask, ranking, -np.inf), axis=-1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    mask = shown.mask & (ranks < count)
    return Features(np.where(mask, shown.values, 0).astype(np.float32), mask)
