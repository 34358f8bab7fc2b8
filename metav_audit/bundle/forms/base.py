"""What the forms share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import LOG_FLOOR, BoolArray, FloatArray, OutputSpace, OutputView

Tensors = Mapping[str, NDArray[np.float64]]
"""A verifier's parameters by name."""

Numbers = NDArray[np.float64]
"""One for each of M models, of shape (M,)."""

Reader = Callable[[Tensors, NDArray[np.float64], BoolArray], Numbers]
"""From tensors, and values and mask of shape (M, N, D), to scores: see ``MetaVerifier.scores``."""

Ranker = Callable[[Tensors, NDArray[np.float64], BoolArray], tuple[Numbers, Numbers]]
"""From the same to scores, and to the exact p-values of the models' ranks among the target's siblings."""


Standing = Callable[[Tensors, NDArray[np.float64], BoolArray], NDArray[np.float64]]
"""From the same to what the rank is of, of the target and each of its siblings: of shape (M, K + 1)."""

Size = Callable[[Mapping[str, FloatArray], tuple[int, int, int]], int]
"""From tensors and the shape (M, N, D) of answers to the numbers of the largest array that scoring them makes."""


def as_large_as_asked(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Return the size of the answers themselves: no array of the form is larger."""
    del tensors
    models, queries, width = shape
    return models * queries * width


Splitter = Callable[[Tensors, NDArray[np.float64], BoolArray], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From the same to nearness and p-values of each account, of shape (M, accounts)."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a form of verifier does with its tensors.

    Attributes:
        score: scores models.
        rank: scores them, and ranks them among the target's siblings; None where the form has no siblings.
        seen: brings the answers of other models among the tensors into a view; None where there are none.
        size: of the largest array that scoring makes.
        standing: what ``rank`` compares; None where it ranks nothing.
        by_account: how near models are to the target by each account's queries, and the p-values of that; None where
            the queries are no account's.
        family: how like models are to the family of the target's ancestor, or None where nothing is known of one; None
            where the form has no siblings.
    """

    score: Reader
    rank: Ranker | None = None
    seen: Callable[[Mapping[str, FloatArray], OutputView, OutputSpace], dict[str, FloatArray]] | None = None
    size: Size = as_large_as_asked
    by_account: Splitter | None = None
    standing: Standing | None = None
    family: Callable[[Tensors, NDArray[np.float64], BoolArray], Numbers | None] | None = None


def with_hidden_classes(values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Give hidden classes equal shares of the probability not shown; with a label alone its side of a split wins."""
    hidden = np.maximum((~mask).sum(axis=2, keepdims=True), 1)
    rest = 1.0 - np.where(mask, np.exp(np.where(mask, values, 0.0)), 0.0).sum(axis=2, keepdims=True)
    share = np.log(np.maximum(rest / hidden, np.exp(LOG_FLOOR)))
    return np.where(mask, values, share)


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)
