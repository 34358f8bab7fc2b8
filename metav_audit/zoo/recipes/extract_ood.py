"""A student of its teacher's answers to inputs that are none of the task (KnockoffNets, CVPR 2019)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.zoo.recipes.base import FROM_SCRATCH, Bench, Habits, Recipe
from metav_audit.zoo.recipes.students import blended, taught


def _make(bench: Bench) -> nn.Module:
    return taught(bench, _out_of_distribution(bench, bench.pairs[0]))


def _out_of_distribution(bench: Bench, inputs: Tensor) -> Tensor:
    """Return as many inputs that are none of the task.

    Blends of two images, one of them mirrored; of rows and vectors, each element another one's, so that nothing in them
    belongs together.
    """
    if inputs.ndim == 4:
        return blended(bench, torch.cat([inputs, inputs.flip(3)]), 1.0)
    rng = np.random.default_rng(bench.plan.seed + 3)
    apart = rng.permuted(inputs.numpy(), axis=0)
    return torch.from_numpy(bench.task.domain.project(apart))


RECIPE = Recipe(
    name="extract-ood",
    family="distill",
    make=_make,
    habits=Habits((35, 55), FROM_SCRATCH),
    other_architecture=True,
)
