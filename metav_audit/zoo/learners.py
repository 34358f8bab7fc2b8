"""Reference suspects of other kinds of learner than the zoo's networks: trees, neighbours, lines.

They show what any model of the task has in common with the target and its siblings, whatever it is made of. Fit and
predict are all that is asked of them; each is fitted on a random 70 % of the owner's data, or of held-out data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import FloatArray, Inputs, OutputSpace
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.outputs.registry import trained

Predict = Callable[[Inputs], FloatArray]
"""From inputs of shape (n, *domain.shape) to canonical features of shape (n, D)."""

MOST = 2000
"""Examples that one is fitted on at most."""

SHARE = 0.7
"""The share of them that it gets."""


def fit_learners(data: OwnerData, space: OutputSpace, seed: int) -> list[Predict]:
    """Fit every kind of learner on either of the owner's data; none for generated outputs, which have no labels.

    Args:
        data: the owner's.
        space: what comes out of a model of the task.
        seed: of all chance.
    """
    if trained(space).adversarial:
        return []
    rng = np.random.default_rng(seed)
    return [fit_learner(make, part, space, rng) for part in (data.heldout, data.train) for make in _kinds(space, seed)]


def student(space: OutputSpace, number: int) -> tuple[str, Any]:
    """Return an unfitted learner of the kinds that thieves use, another for each number, and what it is.

    Args:
        space: what comes out of a model of the task.
        number: from 0; perceptrons of several shapes, then forests, in turn.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    shape = _SHAPES[number % len(_SHAPES)]
    if shape is None:
        forest = RandomForestClassifier if space.labelled else RandomForestRegressor
        return "forest", forest(n_estimators=100, random_state=number, n_jobs=1)
    network = MLPClassifier if space.labelled else MLPRegressor
    name = f"perceptron {' '.join(map(str, shape))}"
    return name, network(hidden_layer_sizes=shape, max_iter=100, random_state=number)


_SHAPES: tuple[tuple[int, ...] | None, ...] = ((64,), (128,), (64, 32), (200,), None)


def _kinds(space: OutputSpace, seed: int) -> Iterator[Any]:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    trees: dict[str, Any] = {"n_estimators": 60, "random_state": seed, "n_jobs": 1}
    layers: dict[str, Any] = {"hidden_layer_sizes": (64,), "max_iter": 40, "random_state": seed}
    if space.labelled:
        yield from (RandomForestClassifier(**trees), ExtraTreesClassifier(**trees), KNeighborsClassifier(15))
        yield from (LogisticRegression(max_iter=100), MLPClassifier(**layers))
    else:
        yield from (RandomForestRegressor(**trees), ExtraTreesRegressor(**trees), KNeighborsRegressor(15))
        yield from (Ridge(), MLPRegressor(**layers))


def fit_learner(learner: Any, data: LabelledData, space: OutputSpace, rng: np.random.Generator) -> Predict:
    """Fit a learner of scikit-learn's kind on a random share of labelled data."""
    chosen = rng.permutation(len(data))[: min(MOST, int(SHARE * len(data)) or 1)]
    inputs, labels = _flat(data.inputs[chosen]), data.labels[chosen]
    kind = space.score_kinds[0]
    if not space.labelled:
        labels = np.asarray(space.canonical(labels.reshape(len(labels), -1).astype(np.float64), kind))
    with warnings.catch_warnings():
        # What has not converged by then is a model that someone might serve all the same.
        warnings.simplefilter("ignore")
        learner.fit(inputs, labels.ravel() if labels.shape[1:] == (1,) else labels)

    def predict(given: Inputs) -> FloatArray:
        if not space.labelled:
            return np.asarray(learner.predict(_flat(given)).reshape(len(given), -1), dtype=np.float32)
        shares = np.zeros((len(given), space.size))
        # A class that it never saw has no column.
        shares[:, np.asarray(learner.classes_, dtype=np.int64)] = learner.predict_proba(_flat(given))
        return np.asarray(space.canonical(shares, kind), dtype=np.float32)

    return predict


def _flat(inputs: Inputs) -> NDArray[np.float32]:
    return inputs.reshape(len(inputs), -1)
