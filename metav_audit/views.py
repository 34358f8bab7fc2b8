"""Views: what an API shows of its models' outputs, found from its answers and applied to the calibration's.

A suspect seen through a view is compared with calibration models seen through the same view: cut to as many classes,
rounded to as many decimals. So the verdict's error rates hold whatever is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.outputs import OutputKind, OutputSpace, ScoreKind
from metav_audit.responses import Answer, Features

MAX_DECIMALS = 4
"""Probabilities and values with more decimals than this are taken as they are."""


@dataclass(frozen=True, slots=True)
class OutputView:
    """What an API shows of an output.

    Attributes:
        top: how many classes it shows at most, the likeliest first; None for all of them.
        decimals: decimals of a probability or a value; None for all of them.
        label_only: whether it shows the likeliest class alone, without a score.
    """

    top: int | None = None
    decimals: int | None = None
    label_only: bool = False

    def words(self, space: OutputSpace) -> str:
        """Name the view of such outputs in a few words."""
        if self.label_only:
            return "the label alone"
        parts = "classes" if space.kind is OutputKind.CLASSIFICATION else "values"
        shown = f"all {parts}" if self.top is None else f"the top {self.top} {parts}"
        return shown if self.decimals is None else f"{shown}, {self.decimals} decimals"

    def shows_all_of(self, other: OutputView) -> bool:
        """Say whether whatever ``other`` shows can be seen through this view, too."""
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
        values = features.values if self.decimals is None else _rounded(features.values, self.decimals, space)
        rounded = Features(values, features.mask)
        return rounded if self.top is None else _top(rounded, features.values, self.top)


FULL_VIEW = OutputView()


def find_view(answers: Sequence[Answer | None], space: OutputSpace, kind: ScoreKind) -> OutputView:
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
    top = shown if shown < space.size and space.kind is OutputKind.CLASSIFICATION else None
    return OutputView(top, _decimals([score for scores in given for score in scores if score is not None], kind))


def _decimals(scores: Sequence[float], kind: ScoreKind) -> int | None:
    if kind not in (ScoreKind.PROBABILITY, ScoreKind.PERCENT, ScoreKind.VALUE):
        return None
    values = np.asarray(scores, dtype=np.float64)
    shift = 2 if kind is ScoreKind.PERCENT else 0
    for decimals in range(MAX_DECIMALS + 1 - shift):
        if np.abs(values - np.round(values, decimals)).max() < 1e-9:
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
