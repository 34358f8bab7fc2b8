"""Learners of scikit-learn as surrogates: one that knows classes, or one or several that know scores or values."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metav_audit.zoo.formats import sklearn
from metav_audit.zoo.formats.base import Format, Given, Said

Knows = Literal["classes", "scores", "steps"]


@dataclass(frozen=True, slots=True)
class Learned:
    """Fitted estimators that answer together.

    Attributes:
        knows: "classes", by ``predict_proba``; "scores", logits or values in scales from their center, a column or
            several an estimator; "steps", of which all are added up.
        models: the estimators.
    """

    knows: Knows
    models: list[Any]

    @property
    def classes_(self) -> Any:
        """The classes that it knows; None of scores."""
        return self.models[0].classes_ if self.knows == "classes" else None

    def numbers(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what they say of rows, of shape (n, columns)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.knows == "classes":
                return np.asarray(self.models[0].predict_proba(rows), dtype=np.float64)
            parts = [np.asarray(each.predict(rows), dtype=np.float64).reshape(len(rows), -1) for each in self.models]
        return np.asarray(np.sum(parts, axis=0) if self.knows == "steps" else np.hstack(parts))


def _pack(model: Learned) -> bytes:
    return sklearn.FORMAT.pack({"knows": model.knows, "models": list(model.models)})


def _unpack(content: bytes, trusted: bool) -> Learned:
    fields = sklearn.FORMAT.unpack(content, trusted)
    return Learned(fields["knows"], fields["models"])


def _answer(model: Learned, given: Given) -> Said:
    numbers, space = model.numbers(given.flat), given.task.output
    if model.knows == "classes":
        return Said("probabilities", numbers)
    if model.knows == "steps":
        # Added to another model's features, whatever they are.
        return Said("logits", numbers)
    return Said("logits", numbers) if space.labelled else Said("values", space.shown(numbers))


FORMAT = Format(
    name="learner",
    title="a learner of scikit-learn",
    package="skops",
    extra="sklearn",
    endings=(),
    owns=lambda model: isinstance(model, Learned),
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
