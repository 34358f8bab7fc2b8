"""Raw answers of an API become canonical verifier features with a mask.

The canonical feature of a classification is the natural logarithm of each class's probability, clipped from below
at ``LOG_FLOOR``: softmax hides most of what tells models apart, its logarithm does not. A class that an API does
not show is *missing*, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import AnswerError
from metav_audit.task import OutputSpace, ScoreKind

LOG_FLOOR = math.log(1e-6)
"""The smallest canonical feature; probabilities below 1e-6 are told apart from each other no more."""

_SUM_TOLERANCE = 0.05

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """The scores an API gave to one query, in the order of the task's labels; None where a class was not shown."""

    scores: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Features:
    """Canonical features of N answers.

    Attributes:
        values: float32 of shape (N, classes), in ``[LOG_FLOOR, 0]``; 0 where masked out.
        mask: bool of the same shape; False where the API showed nothing.
    """

    values: FloatArray
    mask: BoolArray

    @property
    def answered(self) -> BoolArray:
        """Bool of shape (N,): the queries of which anything was shown."""
        return np.asarray(self.mask.any(axis=-1), dtype=np.bool_)


def check_answer(answer: Answer, space: OutputSpace, kind: ScoreKind) -> None:
    """Raise AnswerError unless the answer fits the output space and the declared kind of score."""
    if len(answer.scores) != space.size:
        raise AnswerError(f"an answer has {len(answer.scores)} scores, the task has {space.size} classes")
    shown = [score for score in answer.scores if score is not None]
    if not shown:
        raise AnswerError("an answer shows no class at all")
    if not all(map(math.isfinite, shown)):
        raise AnswerError("an answer holds NaN or an infinite score")
    _check_kind(shown, len(shown) == space.size, kind)


def _check_kind(shown: Sequence[float], complete: bool, kind: ScoreKind) -> None:
    if kind is ScoreKind.LABEL and (len(shown) != 1 or shown[0] != 1):
        raise AnswerError('an answer shows scores, but scores = "label" is declared: declare what the API returns')
    if kind is ScoreKind.LOGIT and not complete:
        raise AnswerError("logits of some classes alone cannot be compared: ask the API for all of them")
    if kind is ScoreKind.LOG_PROBABILITY:
        if max(shown) > 1e-3:
            raise AnswerError("a log-probability is above 0: declare the kind of score the API returns (scores = ...)")
        _check_distribution([math.exp(score) for score in shown], complete, kind)
    if kind is ScoreKind.PROBABILITY:
        _check_distribution(shown, complete, kind)
    if kind is ScoreKind.PERCENT:
        _check_distribution([score / 100 for score in shown], complete, kind)


def _check_distribution(shares: Sequence[float], complete: bool, kind: ScoreKind) -> None:
    total = sum(shares)
    wrong_sum = abs(total - 1) > _SUM_TOLERANCE if complete else total > 1 + _SUM_TOLERANCE
    if min(shares) < -1e-3 or wrong_sum:
        raise AnswerError(
            f"the scores do not look like the declared kind '{kind}' (smallest {min(shares):g}, sum {total:g}): "
            "declare what the API returns (scores = probability, percent, logit or log_probability)"
        )


def features(answers: Sequence[Answer | None], space: OutputSpace, kind: ScoreKind) -> Features:
    """Turn N answers into canonical features; an unanswered query (None) is masked out.

    Raises:
        AnswerError: an answer does not fit the output space or the declared kind of score.
    """
    raw = np.full((len(answers), space.size), np.nan)
    for row, answer in enumerate(answers):
        if answer is not None:
            check_answer(answer, space, kind)
            raw[row] = [np.nan if score is None else score for score in answer.scores]
    mask = ~np.isnan(raw)
    values = np.where(mask, clipped_log_probabilities(raw, kind), 0.0).astype(np.float32)
    return Features(values, mask)


def clipped_log_probabilities(raw: NDArray[Any], kind: ScoreKind) -> NDArray[np.float64]:
    """Return log-probabilities in ``[LOG_FLOOR, 0]`` from raw scores of shape (..., classes); NaN stays NaN."""
    scores = np.asarray(raw, dtype=np.float64)
    if kind is ScoreKind.LOGIT:
        with np.errstate(over="ignore", divide="ignore"):
            shifted = scores - _nan_max(scores)
            logs = shifted - np.log(np.nansum(np.exp(shifted), axis=-1, keepdims=True))
    elif kind is ScoreKind.LOG_PROBABILITY:
        logs = scores
    else:
        shares = scores / (100.0 if kind is ScoreKind.PERCENT else 1.0)
        logs = np.log(np.maximum(shares, math.exp(LOG_FLOOR)))
    return np.asarray(np.clip(logs, LOG_FLOOR, 0.0), dtype=np.float64)


def _nan_max(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = np.where(np.isnan(scores), -np.inf, scores).max(axis=-1, keepdims=True, initial=-1e308)
    return np.asarray(highest, dtype=np.float64)
