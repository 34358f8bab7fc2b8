"""Shared queries on which the target and reruns of its own training disagree, and the suspect's rank among them.

Nothing here knows which of the models is the target: queries are chosen from what all K + 1 models answer, and none is
optimised against surrogates. So the rank is exact for any suspect that came to be without the target; see
``metav_audit.bundle.forms.siblings``.

Of classes, the queries are natural inputs and blends of two whose labels tell most about which model answers: the
mutual information of label and model (entropy of the mean answer less the mean entropy; Houlsby et al.,
arXiv 1112.5745) is greatest. Of values they are drawn at random: where models differ most the inputs are outliers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import ANY_OUTPUT, Materials, Method, no_settings
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import ImageDomain, InputDomain, Inputs

BLENDS = 3000
"""Blends of two natural pictures that are looked at beside the natural ones."""

LEAST = 1e-4
"""Probabilities below this are all the same: what an API shows as 0, or leaves out."""


def choose_shared(answers: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the rows of the ``count`` inputs whose answers tell most about which model gave them, the best first.

    Args:
        answers: probabilities of shape (models, inputs, classes).
        count: how many are wanted.

    >>> told = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.1, 0.9], [0.5, 0.5]]])
    >>> choose_shared(told, 1).tolist()
    [0]
    """
    information = _entropy(answers.mean(axis=0)) - _entropy(answers).mean(axis=0)
    return np.argsort(-information, kind="stable")[:count]


def blend(domain: InputDomain, pool: Inputs, count: int, rng: np.random.Generator) -> Inputs:
    """Return blends of two pictures of the pool each, 30 to 70 % of the one and the rest of the other."""
    one, other = rng.integers(0, len(pool), (2, count))
    share = rng.uniform(0.3, 0.7, (count, *(1,) * (pool.ndim - 1))).astype(np.float32)
    return domain.project(share * pool[one] + (1 - share) * pool[other])


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=-1), dtype=np.float64)


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    task, models = given.zoo.task, [given.zoo.target, *given.siblings]
    inputs = given.starts
    if task.output.labelled:
        pool = given.data.validation.inputs
        if isinstance(task.domain, ImageDomain):
            pool = np.concatenate([pool, blend(task.domain, pool, BLENDS, np.random.default_rng(given.seed))])
        answers = np.exp(features_of_all(models, pool, task.output).astype(np.float64))
        inputs = task.domain.project(pool[choose_shared(answers, len(given.starts))])
    tensors = {
        "models": features_of_all(models, inputs, task.output),
        "references": features_of_all(given.zoo.independent, inputs, task.output),
    }
    if task.output.labelled:
        tensors["least"] = np.log(np.array([LEAST], dtype=np.float32))
    return inputs, MetaVerifier(VerifierKind.SIBLINGS, tensors)


METHOD = Method(
    name="siblings",
    summary="the suspect's rank among reruns of the target's training, by shared queries",
    settings=no_settings,
    optimise=_optimise,
    outputs=ANY_OUTPUT,
    uses_siblings=True,
)
