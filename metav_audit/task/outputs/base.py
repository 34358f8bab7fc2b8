"""The interface every output space fulfils."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import AnswerError, ConfigurationError

Values = NDArray[np.float64]


class OutputKind(StrEnum):
    """What an output is."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    GENERATION = "generation"


class ScoreKind(StrEnum):
    """In which form an API writes an output."""

    PROBABILITY = "probability"
    LOG_PROBABILITY = "log_probability"
    PERCENT = "percent"
    LOGIT = "logit"
    LABEL = "label"
    """No score at all: the answer holds 1 for the class named and None for the others."""
    VALUE = "value"
    """The numbers themselves: those of a regression, or the elements of what was generated."""


class OutputSpace(ABC):
    """What comes out of every model of one task, and its canonical features.

    A canonical feature is a float32 in one unit for the whole space, in which answers of different models can be
    compared: ``unit`` names it.
    """

    kind: ClassVar[OutputKind]
    labelled: ClassVar[bool] = False
    """Whether an output is scores of classes, of which the highest is the answer."""
    parts: ClassVar[str] = "values"
    """What an output's elements are called."""
    unit: ClassVar[str]
    score_kinds: ClassVar[tuple[ScoreKind, ...]]
    """The forms in which an API may write such an output; the first is the usual one."""
    tolerance: ClassVar[float]
    """By how much, in units, the same input's features may differ between two calls: servers batch, and round."""
    constant: ClassVar[float]
    """Units within which answers to different inputs count as the same answer."""
    followed: ClassVar[bool] = True
    """Whether any two models of the task answer alike where their inputs are alike: a generator need not."""
    spread: ClassVar[float]
    """Units by which the answers of two models differ where they differ: what a meta-verifier divides by."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of an output's elements, in order; none where they have no names."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one output, without the batch dimension."""

    @property
    def size(self) -> int:
        """Number of elements of one output."""
        return math.prod(self.shape)

    @abstractmethod
    def check(self, shown: Sequence[float], *, complete: bool, kind: ScoreKind) -> None:
        """Raise AnswerError unless the finite numbers shown of an answer can be what ``kind`` declares.

        Args:
            shown: the elements shown, at least one.
            complete: whether that is all of them.
            kind: one of ``score_kinds``.
        """

    @abstractmethod
    def canonical(self, raw: NDArray[Any], kind: ScoreKind) -> Values:
        """Return canonical features of raw answers of shape (..., size); NaN stays NaN."""

    @abstractmethod
    def shown(self, features: NDArray[Any]) -> Values:
        """Return the inverse of ``canonical``: what a report prints, probabilities or the values themselves."""

    @abstractmethod
    def blank(self) -> Values:
        """Return the features of an answer that tells of no model, of shape (size,)."""

    @abstractmethod
    def distance(self, one: NDArray[Any], other: NDArray[Any]) -> Values:
        """Return how far complete answers lie apart, from features of shape (..., size): shape (...), at least 0."""

    @abstractmethod
    def drift(self, one: NDArray[Any], other: NDArray[Any]) -> float:
        """Return by how many units two answers to the same input differ at most; features not shown are NaN."""

    @abstractmethod
    def rightness(
        self, values: NDArray[Any], mask: NDArray[np.bool_], reference: NDArray[Any], pool: NDArray[Any]
    ) -> float:
        """Return how well natural inputs are answered, at most 1: whether a model does the task at all.

        Args:
            values: the features shown, of shape (N, size), each row with something shown.
            mask: which of them are shown.
            reference: the target's features, (N, size).
            pool: those of models that do the task, (models, N, size).
        """

    @abstractmethod
    def achieved(self, rightness: float, answered: int) -> str:
        """Put into words how well so many natural inputs were answered."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Describe the space in JSON types; ``output_from_json`` reads it back."""

    @classmethod
    @abstractmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the space from ``to_json``'s fields without ``kind``."""

    def check_kind(self, kind: ScoreKind) -> None:
        """Raise AnswerError unless such an output can be written as ``kind``."""
        if kind not in self.score_kinds:
            usual = ", ".join(self.score_kinds)
            raise AnswerError(f'scores = "{kind}" is declared, but the answers of a {self.kind} are: {usual}')


def check_names(names: Sequence[str], what: str) -> None:
    """Raise ConfigurationError unless the names are distinct, and none empty."""
    if len(set(names)) != len(names) or not all(names):
        raise ConfigurationError(f"the {what} of the output are not distinct names: give each one of its own")
