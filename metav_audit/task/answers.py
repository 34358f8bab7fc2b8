"""Raw answers of an API become canonical verifier features with a mask; the task's output space says how.

What an API does not show is *missing*, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import AnswerError
from metav_audit.task.outputs import OutputSpace, ScoreKind

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """The elements of the output an API gave to one query, flat and in order; None where one was not shown."""

    scores: tuple[float | None, ...]

    def in_floats(self) -> Self:
        """Return the answer with floats in the place of whole numbers.

        Raises:
            ValueError: a score is no number, or too large for a float.
        """
        kinds = set(map(type, self.scores))
        if kinds == {float}:
            return self
        try:
            if kinds <= {float, int, type(None)}:
                return type(self)(tuple(None if score is None else float(score) for score in self.scores))
        except OverflowError:
            pass
        raise ValueError("an answer's scores")


@dataclass(frozen=True, slots=True)
class Features:
    """Canonical features of N answers.

    Attributes:
        values: float32 of shape (N, D), in the output space's units; 0 where masked out.
        mask: bool of the same shape; False where the API showed nothing.
    """

    values: FloatArray
    mask: BoolArray

    @property
    def answered(self) -> BoolArray:
        """Bool of shape (N,): the queries of which anything was shown."""
        return np.asarray(self.mask.any(axis=-1), dtype=np.bool_)


def check_answer(answer: Answer, space: OutputSpace, kind: ScoreKind) -> None:
    """Raise AnswerError unless the answer fits the output space and the declared kind of score.

    An answer that shows no class fits where an API may leave out what is unlikely: of labels and shares, not of logits.
    """
    space.check_kind(kind)
    if len(answer.scores) != space.size:
        ours, theirs = ("scores", "classes") if space.labelled else ("numbers", "values")
        raise AnswerError(f"an answer has {len(answer.scores)} {ours}, the task has {space.size} {theirs}")
    shown = [score for score in answer.scores if score is not None]
    if not shown and (not space.labelled or kind is ScoreKind.LOGIT):
        raise AnswerError("an answer shows nothing at all")
    if not all(map(math.isfinite, shown)):
        raise AnswerError("an answer holds NaN or an infinite score")
    if shown:
        space.check(shown, complete=len(shown) == space.size, kind=kind)


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
    values = np.where(mask, space.canonical(raw, kind), 0.0).astype(np.float32)
    return Features(values, mask)
