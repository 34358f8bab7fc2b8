"""What recipes without gradients share: learners of scikit-learn that are fitted to labels, scores or values.

Every maker draws its own settings. The architecture "target" stands for the owner's training program, which learns
whatever labels it is given; of scores it gets labels that are drawn from them, a few to an input.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metav_audit.task import Inputs
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.formats.learner import Learned
from metav_audit.zoo.formats.opaque import Opaque
from metav_audit.zoo.formats.reading import as_opaque
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.plan import TARGET
from metav_audit.zoo.recipes.base import Bench

LEAST_LOG = -7.0
"""Students of scores learn logarithms of probabilities no lower."""

DRAWN = 3
"""Labels that are drawn from a teacher's scores for each input, where a student can learn labels alone."""

Build = Callable[[np.random.Generator, int, bool], Any]
"""From a maker's chance, a seed, and whether it learns classes, to an unfitted estimator."""


def _boosting(rng: np.random.Generator, seed: int, classes: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(
        max_iter=int(rng.integers(40, 120)), learning_rate=float(10 ** rng.uniform(-1.3, -0.8)),
        max_leaf_nodes=int(rng.integers(8, 32)), max_features=float(rng.uniform(0.5, 1.0)), early_stopping=False,
        random_state=seed,
    )  # fmt: skip


def _forest(rng: np.random.Generator, seed: int, classes: bool) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if classes else RandomForestRegressor
    return kind(
        n_estimators=int(rng.integers(40, 80)), min_samples_leaf=int(rng.integers(2, 6)),
        max_features=float(rng.uniform(0.2, 0.6)), random_state=seed,
    )  # fmt: skip


def _extra_trees(rng: np.random.Generator, seed: int, classes: bool) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if classes else ExtraTreesRegressor
    return kind(
        n_estimators=int(rng.integers(40, 80)), min_samples_leaf=int(rng.integers(2, 6)),
        max_features=float(rng.uniform(0.3, 0.8)), random_state=seed,
    )  # fmt: skip


def _perceptron(*widths: int) -> Build:
    def build(rng: np.random.Generator, seed: int, classes: bool) -> Any:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        kind = MLPClassifier if classes else MLPRegressor
        return kind(
            hidden_layer_sizes=widths, max_iter=int(rng.integers(15, 40)), alpha=float(10 ** rng.uniform(-4, -2)),
            learning_rate_init=float(10 ** rng.uniform(-2.8, -2.2)), random_state=seed,
        )  # fmt: skip

    return build


def _linear(rng: np.random.Generator, _: int, classes: bool) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    strength = float(10 ** rng.uniform(-1, 1))
    return LogisticRegression(C=strength, max_iter=300) if classes else Ridge(alpha=1 / strength)


LEARNERS: Mapping[str, Build] = MappingProxyType(
    {
        "boosting": _boosting,
        "perceptron": _perceptron(64),
        "forest": _forest,
        "perceptron-deep": _perceptron(64, 32),
        "extra-trees": _extra_trees,
        "linear": _linear,
    }
)
"""Architectures of surrogates of a target that gives no gradients, beside its own."""


def chance_of(bench: Bench) -> np.random.Generator:
    """Return what a maker draws its settings from."""
    return np.random.default_rng(bench.plan.seed)


def teacher_of(bench: Bench) -> Opaque:
    """Return the parent, which gives no gradients."""
    assert isinstance(bench.parent, Opaque)
    return bench.parent


def answers_of(bench: Bench, inputs: Inputs) -> NDArray[np.float64]:
    """Return the parent's features of inputs: log-probabilities, or values in scales from their center."""
    space = trained(bench.task.output)
    return np.asarray(space.features(bench.parent(torch.from_numpy(inputs))).double().numpy())


def fit_labels(bench: Bench, inputs: Inputs, labels: NDArray[Any]) -> Opaque:
    """Fit the plan's architecture to classes, int64 of shape (n,), or to values of shape (n, quantities)."""
    if bench.plan.architecture == TARGET:
        assert bench.program is not None
        return _opaque(bench.program(_seed(bench), LabelledData(inputs, labels)))
    if not bench.task.output.labelled:
        kind = bench.task.output.score_kinds[0]
        return fit_scores(bench, inputs, bench.task.output.canonical(labels.astype(np.float64), kind))
    return _learned(bench, Learned("classes", [_fitted(_estimator(bench, classes=True), inputs, labels)]))


def fit_scores(bench: Bench, inputs: Inputs, answers: NDArray[np.float64]) -> Opaque:
    """Fit the plan's architecture to features of shape (n, D)."""
    labelled = bench.task.output.labelled
    if bench.plan.architecture == TARGET:
        if not labelled:
            values = np.asarray(bench.task.output.shown(answers), dtype=np.float32)
            return fit_labels(bench, inputs, values)
        drawn = drawn_labels(np.exp(answers), chance_of(bench))
        return fit_labels(bench, np.repeat(inputs, DRAWN, axis=0), drawn.ravel())
    wanted = answers
    if labelled:
        clipped = np.maximum(answers, LEAST_LOG)
        two = clipped.shape[1] == 2
        wanted = clipped[:, 1:] - clipped[:, :1] if two else clipped - clipped.mean(axis=1, keepdims=True)
    estimators = [_estimator(bench, classes=False) for _ in range(wanted.shape[1])]
    fitted = [_fitted(each, inputs, column) for each, column in zip(estimators, wanted.T, strict=True)]
    return _learned(bench, Learned("scores", fitted))


def drawn_labels(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``DRAWN`` classes for each input from shares of shape (n, classes); int64 of shape (n, DRAWN)."""
    edges = shares.cumsum(axis=1) / shares.sum(axis=1, keepdims=True)
    chance = rng.uniform(size=(len(shares), DRAWN, 1))
    return np.asarray((chance > edges[:, None, :-1]).sum(axis=2), dtype=np.int64)


def fit_steps(bench: Bench, inputs: Inputs, labels: NDArray[Any], rounds: int, rate: float) -> Opaque:
    """Boost on from the parent: small trees, each fitted to what is left (Friedman, Annals of Statistics 29, 2001)."""
    from sklearn.tree import DecisionTreeRegressor

    rows = _rows(inputs)
    now, steps = answers_of(bench, inputs), []
    for number in range(rounds):
        left = _left(now, labels, bench)
        tree = DecisionTreeRegressor(max_leaf_nodes=12, min_samples_leaf=10, random_state=_seed(bench) + number)
        tree.fit(rows, rate * left)
        now = now + tree.predict(rows).reshape(now.shape)
        steps.append(tree)
    return _learned(bench, Learned("steps", steps))


def _left(now: NDArray[np.float64], labels: NDArray[Any], bench: Bench) -> NDArray[np.float64]:
    space = bench.task.output
    if not space.labelled:
        return np.asarray(space.canonical(labels.astype(np.float64), space.score_kinds[0]) - now)
    shares = np.exp(now - now.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    # Newton's step in a log-odds, which a small share makes large, is held within ±4.
    return np.asarray(np.clip((np.eye(space.size)[labels] - shares) / np.maximum(shares * (1 - shares), 0.05), -4, 4))


def crossed(bench: Bench, inputs: Inputs, times: float) -> Inputs:
    """Return ``times`` as many valid inputs, each with some of its elements from another one."""
    rng = np.random.default_rng(bench.plan.seed + 3)
    first, second = rng.integers(0, len(inputs), size=(2, round(times * len(inputs))))
    theirs = rng.uniform(size=(len(first), *inputs.shape[1:])) < 0.3
    return bench.task.domain.project(np.where(theirs, inputs[second], inputs[first]).astype(np.float32))


def _estimator(bench: Bench, *, classes: bool) -> Any:
    return LEARNERS[bench.plan.architecture](chance_of(bench), _seed(bench), classes)


def _fitted(estimator: Any, inputs: Inputs, wanted: NDArray[Any]) -> Any:
    with warnings.catch_warnings():
        # What has not converged by then is a model that someone might serve all the same.
        warnings.simplefilter("ignore")
        return estimator.fit(_rows(inputs), wanted)


def _rows(inputs: Inputs) -> NDArray[np.float32]:
    return inputs.reshape(len(inputs), -1)


def _learned(bench: Bench, learned: Learned) -> Opaque:
    return as_opaque(learned, bench.task, "array", None)


def _opaque(model: object) -> Opaque:
    assert isinstance(model, Opaque)
    return model


def _seed(bench: Bench) -> int:
    return bench.plan.seed % 2**31
