"""The descent that methods share: queries, and what reads the answers, move together while the zoo answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.fingerprint.methods.features import clip_in_place, features_of, project_straight_through
from metav_audit.progress import Progress
from metav_audit.task import InputDomain, Inputs, TaskSpec

Objective = Callable[[Tensor, int], Tensor]
"""From answers (the target's first, then those of P derived and of independent models), of shape (1 + P + Q, N, D), and
P, to what is to be minimised."""


@dataclass(frozen=True, slots=True)
class Zoo:
    """Who answers the queries while they are optimised.

    Attributes:
        target: the protected model, giving logits or values, frozen.
        derived: the zoo's derived models of the fit split, frozen.
        independent: the zoo's independent models of the fit split, frozen.
        task: the valid inputs, and what comes out.
        scarce: whether the independent ones are too few lineages to learn from what they have in common.
    """

    target: nn.Module
    derived: Sequence[nn.Module]
    independent: Sequence[nn.Module]
    task: TaskSpec
    scarce: bool = False


class Pace(Protocol):
    """How a fingerprint and a verifier are optimised together; ``JointSettings`` and ``CommitteeSettings`` say more."""

    @property
    def steps(self) -> int:
        """Steps."""

    @property
    def models(self) -> int:
        """Derived and independent models drawn in each, of each side as many."""

    @property
    def input_rate(self) -> float:
        """Adam's rate for the queries, in units of the domain's range."""

    @property
    def verifier_rate(self) -> float:
        """Adam's rate for the verifier."""

    @property
    def weight_decay(self) -> float:
        """Of the verifier."""


def descend_together(
    zoo: Zoo, starts: Inputs, verifier: nn.Module, pace: Pace, objective: Objective, seed: int, progress: Progress
) -> Inputs:
    """Move queries from valid starts of shape (N, *domain.shape), and a verifier, until ``objective`` is small.

    Returns:
        The queries, valid in the domain; see ``descend_queries``.
    """
    queries = torch.from_numpy(starts.copy()).requires_grad_()
    optimizers = (
        torch.optim.Adam([queries], lr=pace.input_rate * zoo.task.domain.extent),
        torch.optim.AdamW(verifier.parameters(), lr=pace.verifier_rate, weight_decay=pace.weight_decay),
    )
    return descend_queries(
        zoo, queries, optimizers, objective, steps=pace.steps, models=pace.models, seed=seed, progress=progress
    )


def descend_queries(
    zoo: Zoo,
    queries: Tensor,
    optimizers: Sequence[torch.optim.Optimizer],
    objective: Objective,
    *,
    steps: int,
    models: int,
    seed: int,
    progress: Progress,
    decay: bool = True,
) -> Inputs:
    """Move the queries, and whatever else the optimizers hold, for some steps; deterministic for one torch thread.

    Args:
        zoo: who answers.
        queries: where they start, of shape (N, *domain.shape); moved in place.
        optimizers: of the queries, and of a verifier that learns beside them.
        objective: what is minimised.
        steps: of the descent.
        models: derived and independent models drawn in each step, of each side as many.
        seed: of the draws.
        progress: told of every step.
        decay: whether the rates fall to 0 along a cosine.

    Returns:
        The queries, valid in the domain.
    """
    draws, domain = np.random.default_rng(seed), zoo.task.domain
    decaying = optimizers if decay else ()
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, steps) for one in decaying]
    for step in range(steps):
        # 1. A few models of each side are drawn.
        positive, negative = (_draw(draws, side, models) for side in (zoo.derived, zoo.independent))
        # 2. They answer the queries as the wire will deliver them.
        arriving = project_straight_through(queries, domain)
        answering = (zoo.target, *positive, *negative)
        answers = torch.stack([features_of(model, arriving, zoo.task.output) for model in answering])
        # 3. All that the optimizers hold takes a step.
        loss = objective(answers, len(positive))
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        for schedule in schedules:
            schedule.step()
        clip_in_place(queries, domain)
        progress(step + 1, steps)
    # 4. What is kept is what will arrive.
    return domain.project(queries.detach().numpy())


def move_queries(
    queries: Tensor,
    domain: InputDomain,
    loss: Callable[[Tensor], Tensor],
    *,
    rate: float,
    steps: int,
    progress: Progress,
) -> None:
    """Move queries in place by Adam until their summed loss is small, within the domain's range; no zoo answers.

    Args:
        queries: where they start, of shape (N, *domain.shape).
        domain: whose range they stay in.
        loss: of the queries, of shape (N,).
        rate: Adam's.
        steps: of the descent.
        progress: told of every step.
    """
    optimizer = torch.optim.Adam([queries], lr=rate)
    for step in range(steps):
        total = loss(queries).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        clip_in_place(queries, domain)
        progress(step + 1, steps)


def _draw(draws: np.random.Generator, models: Sequence[nn.Module], wanted: int) -> list[nn.Module]:
    """Draw ``wanted`` of the models without repetition, or all where there are fewer."""
    chosen = draws.choice(len(models), size=min(len(models), wanted), replace=False)
    return [models[int(index)] for index in chosen]
