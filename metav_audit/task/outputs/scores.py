"""The scores of a classification: one for each label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task.outputs.base import OutputKind, OutputSpace, ScoreKind, Values, check_names

LOG_FLOOR = math.log(1e-6)
"""The smallest canonical feature; probabilities below 1e-6 are told apart from each other no more."""

ROUNDING = 1e-5
"""Probabilities that lie no further apart than this are the same."""

_SUM_TOLERANCE = 0.05
_COARSE_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class ClassScores(OutputSpace):
    """One score for each of the labels, in this order.

    The canonical feature is the natural logarithm of each class's probability, clipped from below at ``LOG_FLOOR``:
    softmax hides most of what tells models apart, its logarithm does not.

    >>> space = ClassScores(('cat', 'dog'))
    >>> space.canonical(np.array([0.5, 0.5]), ScoreKind.PROBABILITY).round(3).tolist()
    [-0.693, -0.693]
    """

    kind: ClassVar[OutputKind] = OutputKind.CLASSIFICATION
    labelled: ClassVar[bool] = True
    parts: ClassVar[str] = "classes"
    unit: ClassVar[str] = "nats"
    score_kinds: ClassVar[tuple[ScoreKind, ...]] = (
        ScoreKind.PROBABILITY, ScoreKind.LOG_PROBABILITY, ScoreKind.PERCENT, ScoreKind.LOGIT, ScoreKind.LABEL,
    )  # fmt: skip
    tolerance: ClassVar[float] = 0.05
    constant: ClassVar[float] = 1e-4
    spread: ClassVar[float] = 3.0

    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise ConfigurationError(f"a classification has at least two labels, not {len(self.classes)}")
        check_names(self.classes, "labels")

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """One element a label."""
        return (len(self.classes),)

    def check(self, shown: Sequence[float], *, complete: bool, kind: ScoreKind) -> None:
        """Check one-hot labels, complete logits, and shares that add up to 1."""
        if kind is ScoreKind.LABEL and (len(shown) != 1 or shown[0] != 1):
            raise AnswerError('an answer shows scores, but scores = "label" is declared: declare what the API returns')
        if kind is ScoreKind.LOGIT and not complete:
            raise AnswerError("logits of some classes alone cannot be compared: ask the API for all of them")
        if kind is ScoreKind.LOG_PROBABILITY:
            if max(shown) > 1e-3:
                raise AnswerError(
                    "a log-probability is above 0: declare the kind of score the API returns (scores = ...)"
                )
            _check_distribution([math.exp(score) for score in shown], complete, kind)
        if kind is ScoreKind.PROBABILITY:
            _check_distribution(shown, complete, kind)
        if kind is ScoreKind.PERCENT:
            _check_distribution([score / 100 for score in shown], complete, kind)

    def canonical(self, raw: NDArray[Any], kind: ScoreKind) -> Values:
        """Return log-probabilities in ``[LOG_FLOOR, 0]``."""
        return clipped_log_probabilities(raw, kind)

    def shown(self, features: NDArray[Any]) -> Values:
        """Return probabilities."""
        return np.exp(np.asarray(features, dtype=np.float64))

    def blank(self) -> Values:
        """Return the uniform distribution."""
        return np.full(self.size, -math.log(self.size))

    def distance(self, one: NDArray[Any], other: NDArray[Any]) -> Values:
        """Return the total variation distance of the two distributions, in [0, 1]."""
        apart = np.abs(self.shown(one) - self.shown(other)).sum(axis=-1) / 2
        return np.asarray(np.minimum(apart, 1.0), dtype=np.float64)

    def drift(self, one: NDArray[Any], other: NDArray[Any]) -> float:
        """Return the largest difference in nats; infinite where different classes are shown.

        Probabilities closer than ``ROUNDING`` count as the same: near the floor, the last digit alone is worth nats.
        """
        if (np.isnan(one) != np.isnan(other)).any():
            return float("inf")
        apart = np.abs(np.exp(one) - np.exp(other)) > ROUNDING
        return float(np.nanmax(np.abs(one - other)[apart], initial=0.0))

    def rightness(
        self, values: NDArray[Any], mask: NDArray[np.bool_], reference: NDArray[Any], pool: NDArray[Any]
    ) -> float:
        """Return the share of answers whose likeliest label is the reference's."""
        del pool
        top = np.where(mask, values, -np.inf).argmax(axis=1)
        return float((top == reference.argmax(axis=1)).mean())

    def achieved(self, rightness: float, answered: int) -> str:
        """Count answers that the target's labels fit."""
        return f"{round(rightness * answered)} of them as the target labels them"

    def to_json(self) -> dict[str, Any]:
        """Describe the space in JSON types."""
        return {"kind": self.kind.value, "labels": list(self.classes)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the space from its labels."""
        return cls(tuple(str(label) for label in fields["labels"]))


def clipped_log_probabilities(raw: NDArray[Any], kind: ScoreKind) -> Values:
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


def _check_distribution(shares: Sequence[float], complete: bool, kind: ScoreKind) -> None:
    total, over, under = sum(shares), _SUM_TOLERANCE, _SUM_TOLERANCE
    if complete and abs(total - 1) > _SUM_TOLERANCE:
        over, under = _coarseness(shares)
    if min(shares) < -1e-3 or total > 1 + over or (complete and total < 1 - under):
        raise AnswerError(
            f"the scores do not look like the declared kind '{kind}' (smallest {min(shares):g}, sum {total:g}): "
            "declare what the API returns (scores = probability, percent, logit or log_probability)"
        )


def _coarseness(shares: Sequence[float]) -> tuple[float, float]:
    """Return by how much the sum of shares may lie above and below 1: rounded ones miss it by half a step each.

    Whole percents may have been cut off: then they lose up to a step each.
    """
    whole = {step: all(abs(one) < 2 and abs(one / step - round(one / step)) < 1e-6 for one in shares)
             for step in (0.1, 0.01)}  # fmt: skip
    if whole[0.1]:
        missed = max(_SUM_TOLERANCE, min(0.05 * len(shares), _COARSE_TOLERANCE))
        return missed, missed
    return _SUM_TOLERANCE, max(_SUM_TOLERANCE, 0.01 * len(shares) if whole[0.01] else 0.0)


def _nan_max(scores: Values) -> Values:
    highest = np.where(np.isnan(scores), -np.inf, scores).max(axis=-1, keepdims=True, initial=-1e308)
    return np.asarray(highest, dtype=np.float64)
