"""The registry of recipes: a line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

from metav_audit.task import TaskSpec
from metav_audit.zoo.ancestor import Ancestor
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.device import CPU
from metav_audit.zoo.plan import Plan
from metav_audit.zoo.recipes import (
    adversarial_train,
    adversarial_tune,
    average,
    boost_on,
    distill,
    distill_adversarial,
    extract_hard,
    extract_ood,
    filter_prune,
    fine_tune_all,
    fine_tune_last,
    learn_labels,
    learn_scores,
    mix_in,
    noise,
    prune,
    prune_tune,
    quantise,
    recalibrate,
    refit,
    removal,
    retrain_all,
    retrain_last,
    round_scores,
    train,
    tune_ancestor,
)
from metav_audit.zoo.recipes.base import Bench, Program, Recipe
from metav_audit.zoo.training import seeded

RECIPE_VERSION = 2
"""Part of every stored model's address: raise it when a recipe's outcome, or its measuring, changes."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        each.RECIPE.name: each.RECIPE
        for each in (
            train,
            tune_ancestor,
            adversarial_train,
            fine_tune_all,
            fine_tune_last,
            retrain_all,
            retrain_last,
            prune,
            prune_tune,
            filter_prune,
            quantise,
            noise,
            average,
            adversarial_tune,
            distill,
            distill_adversarial,
            extract_hard,
            extract_ood,
            removal,
            refit,
            boost_on,
            recalibrate,
            round_scores,
            mix_in,
            learn_scores,
            learn_labels,
        )
    }
)
"""Recipes by name."""


def make_surrogate(
    plan: Plan,
    parent: nn.Module,
    target: nn.Module,
    task: TaskSpec,
    data: OwnerData,
    *,
    ancestor: Ancestor | None = None,
    program: Program | None = None,
    device: torch.device = CPU,
) -> nn.Module:
    """Carry out one plan; deterministic for one torch thread.

    Args:
        plan: what to make.
        parent: the parent's model; for a plan without a parent, the target.
        target: the target, whose structure "target" stands for.
        task: the task of all of them.
        data: the owner's data.
        ancestor: of the target, which some plans start from.
        program: the owner's training program, for recipes that need no gradients.
        device: where steps are made; the model comes back to the processor.

    Raises:
        ConfigurationError: the plan starts from an ancestor, and there is none.
        DataError: the training diverged.
    """
    bench = Bench(plan, task, _sample(plan, data), parent, target, ancestor=ancestor, program=program, device=device)
    return RECIPES[plan.recipe].make(bench)


def _sample(plan: Plan, data: OwnerData) -> LabelledData:
    held: LabelledData = data.train if plan.data == "train" else data.heldout
    count = max(2, round(len(held) * plan.settings.get("share", 1.0)))
    index = torch.randperm(len(held), generator=seeded(plan.seed + 2))[:count].numpy()
    return held.take(index)
