"""A baseline: groups of queries where all the target's boundaries meet (IrisFP: Geng, Yang, Chen, Luo, CVPR 2026).

Three ideas of arXiv 2603.24996, restated from its published description, which names no constants:

1. A query lies near the place where all decision boundaries meet: its class leads by a small margin, and all others are
   equally likely. The margin relative to them is large, though the point lies deep in no class.
2. A fingerprint is a group of such points, which start around one input: a model agrees with it or does not.
3. Of the candidates those are kept that tell the fit split's derived models from its independent ones best, each with a
   threshold of its own: how many of its labels have to agree.

The score is the share of the groups with which a model agrees. The margin was chosen on the calibration split of one
digits target (digits-2 of the bench of strangers), never on a test split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import Materials, Method
from metav_audit.fingerprint.methods.descent import Zoo, move_queries
from metav_audit.fingerprint.methods.features import features_of_all, project_straight_through
from metav_audit.fingerprint.methods.natural import labels_alike
from metav_audit.progress import Progress, silent
from metav_audit.task import Inputs


@dataclass(frozen=True, slots=True)
class CompositeSettings:
    """Settings of the search.

    Attributes:
        group: queries a fingerprint.
        steps: of the descent.
        rate: of each, in units of the domain's range.
        margin: in logits, by which the first class shall lead the mean of the others.
        spread: standard deviation of the noise around the common start, in units of the domain's range.
    """

    group: int = 4
    steps: int = 300
    rate: float = 0.01
    margin: float = 4.0
    spread: float = 0.05


def optimise_composites(
    zoo: Zoo, starts: Inputs, settings: CompositeSettings, seed: int, progress: Progress = silent
) -> tuple[Inputs, MetaVerifier]:
    """Make a group of queries around every start, and keep as many groups as there are queries for.

    Args:
        zoo: who answers.
        starts: valid inputs, of shape (N, *domain.shape).
        settings: of the search.
        seed: of the noise.
        progress: told of every step.

    Returns:
        N queries, valid in the domain, group by group, and a verifier that counts the groups agreed with.
    """
    domain, size, chance = zoo.task.domain, min(settings.group, len(starts)), np.random.default_rng(seed)
    centres = np.repeat(starts, size, axis=0)
    around = centres + settings.spread * domain.extent * chance.standard_normal(centres.shape)
    queries = torch.from_numpy(domain.project(around.astype(np.float32))).requires_grad_()

    def loss(moved: Tensor) -> Tensor:
        return off_the_meeting(zoo.target(project_straight_through(moved, domain)), settings.margin)

    rate = settings.rate * domain.extent
    move_queries(queries, domain, loss, rate=rate, steps=settings.steps, progress=progress)
    found = domain.project(queries.detach().numpy())
    derived, independent = (
        labels_alike(zoo, models, found).reshape(len(models), -1, size).sum(axis=2)
        for models in (zoo.derived, zoo.independent)
    )
    thresholds, apart = best_thresholds(derived, independent, size)
    wanted = -(-len(starts) // size)
    kept = np.argsort(-apart, kind="stable")[:wanted]
    inputs = found.reshape(-1, size, *found.shape[1:])[kept].reshape(-1, *found.shape[1:])[: len(starts)]
    labels = features_of_all([zoo.target], inputs, zoo.task.output)[0].argmax(axis=1)
    groups = np.repeat(np.arange(wanted), size)[: len(starts)]
    tensors = {"labels": labels, "groups": groups, "thresholds": thresholds[kept] / size}
    return inputs, MetaVerifier(
        VerifierKind.COMPOSITE, {name: each.astype(np.float32) for name, each in tensors.items()}
    )


def off_the_meeting(logits: Tensor, margin: float) -> Tensor:
    """Return how far points of logits (N, C) are from where the boundaries meet, of shape (N,).

    >>> off_the_meeting(torch.tensor([[1.0, 0.0, 0.0], [3.0, 1.0, -1.0]]), 1.0).tolist()
    [0.0, 3.0]
    """
    first = torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)
    others = logits.shape[1] - 1
    mean = (logits * (1 - first)).sum(dim=1) / others
    apart = ((logits - mean[:, None]).square() * (1 - first)).sum(dim=1) / others
    return apart + ((logits * first).sum(dim=1) - mean - margin).abs()


def best_thresholds(
    derived: NDArray[np.int64], independent: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many labels have to agree, group by group, and the share of models that this tells rightly.

    Args:
        derived: how many of each group's labels agree with the target's, of shape (models, groups).
        independent: likewise.
        size: of a group.

    >>> [each.tolist() for each in best_thresholds(np.array([[4], [3]]), np.array([[2], [0]]), 4)]
    [[3], [1.0]]
    """
    tried = np.arange(1, size + 1)[:, None, None]
    apart = (derived >= tried).mean(axis=1) - (independent >= tried).mean(axis=1)
    place = apart.argmax(axis=0)
    return place + 1, apart[place, np.arange(apart.shape[1])]


def _optimise(given: Materials, settings: CompositeSettings) -> tuple[Inputs, MetaVerifier]:
    return optimise_composites(given.zoo, given.starts, settings, given.seed, given.progress)


METHOD = Method(
    name="irisfp",
    summary="groups of labels where all decision boundaries meet (IrisFP, CVPR 2026)",
    settings=lambda _: CompositeSettings(),
    optimise=_optimise,
)
