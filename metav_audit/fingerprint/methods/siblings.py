"""Shared queries on which the target and reruns of its own training disagree, and the suspect's rank among them.

Nothing here knows which of the models is the target: queries are chosen from what all K + 1 models answer, and none is
optimised against surrogates. So the rank is exact for any suspect that came to be without the target; see
``metav_audit.bundle.forms.siblings``.

Of classes, the queries are natural inputs and blends of two whose answers tell most about which model gave them: the
mutual information of answer and model (entropy of the mean answer less the mean entropy; Houlsby et al.,
arXiv 1112.5745), of scores and, with half the weight, of labels alone. A quarter of the pictures is then moved up that
slope: what no data look like tells copies apart by very few labels, what data look like finds thieves. Of values they
are drawn at random: where models differ most the inputs are outliers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import ANY_OUTPUT, Materials, Method, no_settings
from metav_audit.fingerprint.methods.features import clip_in_place, features_of, features_of_all
from metav_audit.progress import Progress, silent
from metav_audit.task import ImageDomain, InputDomain, Inputs, TaskSpec

BLENDS = 3000
"""Blends of two natural pictures that are looked at beside the natural ones."""

LABELS = 0.5
"""The weight of what labels alone tell, beside what scores do."""

MOVED = 4
"""One picture in so many is moved."""

STEPS, RATE = 120, 0.02
"""Adam's steps, and its rate in widths of the domain's range."""

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
    labels = np.eye(answers.shape[2])[answers.argmax(axis=2)].mean(axis=0)
    information = _entropy(answers.mean(axis=0)) - _entropy(answers).mean(axis=0) + LABELS * _entropy(labels)
    return np.argsort(-information, kind="stable")[:count]


def blend(domain: InputDomain, pool: Inputs, count: int, rng: np.random.Generator) -> Inputs:
    """Return blends of two pictures of the pool each, 30 to 70 % of the one and the rest of the other."""
    one, other = rng.integers(0, len(pool), (2, count))
    share = rng.uniform(0.3, 0.7, (count, *(1,) * (pool.ndim - 1))).astype(np.float32)
    return domain.project(share * pool[one] + (1 - share) * pool[other])


def sharpen(models: Sequence[nn.Module], task: TaskSpec, starts: Inputs, progress: Progress = silent) -> Inputs:
    """Move pictures to where the models are surest and most at odds: up the slope of the mutual information, by Adam.

    Args:
        models: target and siblings, all alike, frozen.
        task: theirs.
        starts: float32 of shape (n, *domain.shape).
        progress: told of every step.
    """
    queries = torch.from_numpy(starts.copy()).requires_grad_()
    optimizer = torch.optim.Adam([queries], lr=RATE * task.domain.extent)
    for step in range(STEPS):
        logs = torch.stack([features_of(model, queries, task.output) for model in models])
        usual = logs.exp().mean(dim=0)
        entropies = -(logs.exp() * logs).sum(dim=2).mean(dim=0), -(usual * usual.clamp(min=LEAST).log()).sum(dim=1)
        optimizer.zero_grad(set_to_none=True)
        (entropies[0] - entropies[1]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        clip_in_place(queries, task.domain)
        progress(step + 1, STEPS)
    return task.domain.project(queries.detach().numpy())


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=-1), dtype=np.float64)


def _choose(given: Materials, models: Sequence[nn.Module]) -> Inputs:
    task, count, pool = given.zoo.task, len(given.starts), given.data.validation.inputs
    if not task.output.labelled:
        return given.starts
    pictures = isinstance(task.domain, ImageDomain)
    if pictures:
        pool = np.concatenate([pool, blend(task.domain, pool, BLENDS, np.random.default_rng(given.seed))])
    answers = np.exp(features_of_all(models, pool, task.output).astype(np.float64))
    chosen = task.domain.project(pool[choose_shared(answers, count)])
    moved = count // MOVED if pictures else 0
    sharpened = sharpen(models, task, chosen[:moved], given.progress) if moved else chosen[:0]
    return np.concatenate([sharpened, chosen[: count - moved]])


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    task, models = given.zoo.task, [given.zoo.target, *given.siblings]
    inputs = _choose(given, models)
    networks = features_of_all(given.zoo.independent, inputs, task.output)
    tensors = {
        "models": features_of_all(models, inputs, task.output),
        "references": np.concatenate([networks, *(predict(inputs)[None] for predict in given.learners)]),
    }
    if task.output.labelled:
        tensors["least"] = np.log(np.array([LEAST], dtype=np.float32))
    return inputs, MetaVerifier(VerifierKind.SIBLINGS, tensors)


METHOD = Method(
    name="siblings",
    summary="the suspect's rank among reruns of the target's training, by shared queries",
    settings=no_settings,
    optimise=_optimise,
    queries=64,
    outputs=ANY_OUTPUT,
    uses_siblings=True,
)
