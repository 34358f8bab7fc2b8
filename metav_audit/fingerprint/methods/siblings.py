"""Shared queries on which the target and reruns of its own training disagree, and the suspect's rank among them.

Nothing here knows which of the models is the target: queries are chosen from what all K + 1 models answer, and none is
optimised against surrogates. So the rank is exact for any suspect that came to be without the target; see
``metav_audit.bundle.forms.siblings``.

Of classes, inputs are chosen whose answers tell most about which model gave them: the mutual information of answer and
model (entropy of the mean answer less the mean entropy; Houlsby et al., arXiv 1112.5745), of scores and, with half the
weight, of labels alone. The first few are the best there are, blends of two pictures mostly: they find copies by very
few labels. Natural inputs follow as long as they tell enough, since thieves know what data look like; then blends. Of
values the queries are drawn at random: where models differ most the inputs are outliers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import ANY_OUTPUT, Materials, Method, no_settings
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import FloatArray, ImageDomain, InputDomain, Inputs

BLENDS = 3000
"""Blends of two natural pictures that are looked at beside the natural ones."""

LABELS = 0.5
"""The weight of what labels alone tell, beside what scores do."""

FIRST = 4
"""The best inputs of all, whatever they look like."""

ENOUGH = 0.25
"""Nats that a natural input has to tell to go before a blend that tells more."""

LEAST = 1e-4
"""Probabilities below this are all the same: what an API shows as 0, or leaves out."""


def information(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much the answers to each input tell about which model gave them, in nats, of shape (inputs,).

    Args:
        answers: probabilities of shape (models, inputs, classes).

    >>> information(np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.1, 0.9], [0.5, 0.5]]])).round(2).tolist()
    [0.71, 0.0]
    """
    labels = np.eye(answers.shape[2])[answers.argmax(axis=2)].mean(axis=0)
    information_of_scores = _entropy(answers.mean(axis=0)) - _entropy(answers).mean(axis=0)
    return np.asarray(information_of_scores + LABELS * _entropy(labels))


def choose_shared(told: NDArray[np.float64], natural: int, count: int) -> NDArray[np.int64]:
    """Return the rows of the inputs that are asked.

    Args:
        told: what each tells, in nats; natural inputs stand before blends.
        natural: how many of them are natural.
        count: how many are wanted.

    >>> choose_shared(np.array([0.1, 0.3, 0.2, 0.9, 0.8, 0.7, 0.6, 0.5]), 3, 6).tolist()
    [3, 4, 5, 6, 1, 7]
    """
    best = np.argsort(-told, kind="stable")
    first, rest = best[:FIRST], best[FIRST:]
    plain = (rest < natural) & (told[rest] >= ENOUGH)
    return np.concatenate([first, rest[plain], rest[~plain]])[:count]


def blend(domain: InputDomain, pool: Inputs, count: int, rng: np.random.Generator) -> Inputs:
    """Return blends of two pictures of the pool each, 30 to 70 % of the one and the rest of the other."""
    one, other = rng.integers(0, len(pool), (2, count))
    share = rng.uniform(0.3, 0.7, (count, *(1,) * (pool.ndim - 1))).astype(np.float32)
    return domain.project(share * pool[one] + (1 - share) * pool[other])


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=-1), dtype=np.float64)


def _choose(given: Materials, models: Sequence[nn.Module]) -> Inputs:
    task, pool = given.zoo.task, given.data.validation.inputs
    if not task.output.labelled:
        return given.starts
    natural = len(pool)
    if isinstance(task.domain, ImageDomain) and not given.picked:
        pool = np.concatenate([pool, blend(task.domain, pool, BLENDS, np.random.default_rng(given.seed))])
    told = information(np.exp(features_of_all(models, pool, task.output).astype(np.float64)))
    return task.domain.project(pool[choose_shared(told, natural, len(given.starts))])


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    models = [given.zoo.target, *given.siblings]
    inputs = _choose(given, models)
    return inputs, MetaVerifier(VerifierKind.SIBLINGS, sibling_tensors(given, inputs))


def sibling_tensors(given: Materials, inputs: Inputs) -> dict[str, FloatArray]:
    """Return what target, siblings and references answer, as ``metav_audit.bundle.forms.siblings`` has it."""
    task, models = given.zoo.task, [given.zoo.target, *given.siblings]
    networks = features_of_all(given.zoo.independent, inputs, task.output)
    tensors = {
        "models": features_of_all(models, inputs, task.output),
        "references": np.concatenate([networks, *(predict(inputs)[None] for predict in given.learners)]),
    }
    if given.kin:
        tensors["kin"] = np.array([*given.kin, *[False] * len(given.learners)], dtype=np.float32)
    if task.output.labelled:
        tensors["least"] = np.log(np.array([LEAST], dtype=np.float32))
    return tensors


METHOD = Method(
    name="siblings",
    summary="the suspect's rank among reruns of the target's training, by shared queries",
    settings=no_settings,
    optimise=_optimise,
    queries=64,
    outputs=ANY_OUTPUT,
    uses_siblings=True,
    by_gradients=False,
)
