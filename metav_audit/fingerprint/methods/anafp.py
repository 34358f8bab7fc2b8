"""A baseline: queries at a chosen distance behind the target's boundary (AnaFP: Yang, Geng, Chen, Luo, ICLR 2026).

From an input x that the target is sure of, let d be a short way to its decision boundary (arXiv 2603.21411). The query
is x + t d with a stretch factor t > 1: the farther behind the boundary, the more copies share the target's label there
(robustness), and the more independent models do so as well (uniqueness). Restated from the published description, which
names no constants: both bounds are taken as quantiles over the fit split's derived and independent models, t from a
grid between them; where no t lies between them, the one that tells the two sides apart best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metav_audit.bundle import MetaVerifier
from metav_audit.fingerprint.methods.base import Materials, Method
from metav_audit.fingerprint.methods.descent import Zoo, move_queries
from metav_audit.fingerprint.methods.natural import choose_surest, compare_labels, labels_alike
from metav_audit.progress import Progress, silent
from metav_audit.task import InputDomain, Inputs

HALVINGS = 12
"""Bisections between an input and one of another label: the boundary is then known to 1/4096 of the way."""


@dataclass(frozen=True, slots=True)
class StretchSettings:
    """Settings of the search.

    Attributes:
        steps: of the descent over the boundary.
        rate: of each, in units of the domain's range.
        anchors: inputs that are tried for each query that is kept.
        factors: stretch factors tried.
        robust: share of the derived models that have to share the target's label.
        unique: share of the independent ones that may.
    """

    steps: int = 100
    rate: float = 0.01
    anchors: int = 4
    factors: tuple[float, ...] = (1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0)
    robust: float = 0.9
    unique: float = 0.1


class Stretched(NamedTuple):
    """What stretch factors do to anchors, each array of shape (factors, anchors).

    Attributes:
        derived: share of derived models with the target's label.
        independent: share of independent ones.
    """

    derived: NDArray[np.float64]
    independent: NDArray[np.float64]

    def best(self, settings: StretchSettings) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return each anchor's best factor, by its place, and how well it tells the sides apart there.

        >>> told = Stretched(np.array([[0.5], [0.9], [1.0]]), np.array([[0.0], [0.1], [0.6]]))
        >>> [each.tolist() for each in told.best(StretchSettings())]
        [[1], [1.8]]
        """
        apart = self.derived - self.independent
        apart = apart + ((self.derived >= settings.robust) & (self.independent <= settings.unique))
        place = apart.argmax(axis=0)
        return place, apart[place, np.arange(apart.shape[1])]


def optimise_stretch(
    zoo: Zoo, pool: Inputs, count: int, settings: StretchSettings, progress: Progress = silent
) -> tuple[Inputs, MetaVerifier]:
    """Stretch the way over the boundary from the pool's surest inputs, and keep the queries that tell most.

    Args:
        zoo: who answers.
        pool: valid inputs, of shape (P, *domain.shape).
        count: of queries wanted.
        settings: of the search.
        progress: told of every step.

    Returns:
        The queries, valid in the domain, and a verifier that counts the labels equal to the target's.
    """
    anchors = choose_surest(zoo.target, zoo.task, pool, count, settings.anchors * count)
    way = ways_over(zoo.target, zoo.task.domain, anchors, settings, progress) - anchors
    tried = np.stack([zoo.task.domain.project(anchors + factor * way) for factor in settings.factors])
    place, apart = _told(zoo, tried).best(settings)
    kept = np.argsort(-apart, kind="stable")[:count]
    return compare_labels(zoo.target, zoo.task, tried[place[kept], kept])


def ways_over(
    target: nn.Module, domain: InputDomain, anchors: Inputs, settings: StretchSettings, progress: Progress = silent
) -> Inputs:
    """Return points of the same shape on the target's boundary; where none is found, the end of the descent."""
    start = torch.from_numpy(anchors.copy())
    labels = _labels(target, start)
    far, moved = start.clone(), start.clone().requires_grad_()

    def go_after() -> None:
        """Let who is not over the boundary yet follow."""
        still = _labels(target, far) == labels
        far[still] = moved.detach()[still]

    def lead(inputs: Tensor) -> Tensor:
        go_after()
        logits: Tensor = target(inputs)
        return logits.gather(1, labels[:, None])[:, 0] - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)

    rate = settings.rate * domain.extent
    move_queries(moved, domain, lead, rate=rate, steps=settings.steps, progress=progress)
    go_after()
    return _bisected(target, start, far, labels)


@torch.no_grad()
def _bisected(target: nn.Module, near: Tensor, far: Tensor, labels: Tensor) -> Inputs:
    low, high = torch.zeros(len(near)), torch.ones(len(near))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        same = _labels(target, _between(near, far, middle)) == labels
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return _between(near, far, high).numpy()


def _between(near: Tensor, far: Tensor, share: Tensor) -> Tensor:
    return near + share.reshape(-1, *(1,) * (near.ndim - 1)) * (far - near)


@torch.no_grad()
def _labels(target: nn.Module, inputs: Tensor) -> Tensor:
    labels: Tensor = target(inputs).argmax(dim=1)
    return labels


def _told(zoo: Zoo, tried: Inputs) -> Stretched:
    flat = tried.reshape(-1, *tried.shape[2:])
    sides = (
        labels_alike(zoo, models, flat).mean(axis=0).reshape(tried.shape[:2])
        for models in (zoo.derived, zoo.independent)
    )
    return Stretched(*sides)


def _optimise(given: Materials, settings: StretchSettings) -> tuple[Inputs, MetaVerifier]:
    return optimise_stretch(given.zoo, given.data.validation.inputs, len(given.starts), settings, given.progress)


METHOD = Method(
    name="anafp",
    summary="labels at a chosen distance behind the decision boundary (AnaFP, ICLR 2026)",
    settings=lambda _: StretchSettings(),
    optimise=_optimise,
)
