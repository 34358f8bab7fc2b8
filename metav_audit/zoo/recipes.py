"""Recipes: how a surrogate is made from its parent, its maker's data and a seed.

The four tunings are those of the watermarking and fingerprinting literature (FTLL, FTAL, RTLL, RTAL: fine-tune or
retrain, the last layer or all layers; Adi et al., USENIX Security 2018): "retrain" draws the last layer anew first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from metav_audit.outputs import OutputSpace
from metav_audit.task import TaskSpec
from metav_audit.zoo import training
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.plan import TARGET, Plan
from metav_audit.zoo.training import seeded

RECIPE_VERSION = 1
"""Part of every stored model's address: raise it when a recipe's outcome changes."""

Recipe = Callable[[Plan, nn.Module | None, nn.Module, tuple[Tensor, Tensor]], nn.Module]


def fresh_model(architecture: str, target: nn.Module, task: TaskSpec, seed: int) -> nn.Module:
    """Build a model of the named architecture with random weights; "target" copies the target's structure."""
    if architecture == TARGET:
        model = training.clone(target)
        training.reinitialise(list(model.parameters()), seeded(seed))
        training.reset_normalisation(model)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_architecture(architecture, task)


def make_surrogate(plan: Plan, parent: nn.Module, target: nn.Module, task: TaskSpec, data: OwnerData) -> nn.Module:
    """Carry out one plan; deterministic for one torch thread.

    Args:
        plan: what to make.
        parent: the parent's model; for a plan without a parent, the target.
        target: the target, whose structure "target" stands for.
        task: the task of all of them.
        data: the owner's data.

    Raises:
        DataError: the training diverged.
    """
    pairs = _makers_data(plan, data)
    if plan.recipe == "train":
        model = fresh_model(plan.architecture, target, task, plan.seed)
        return _descend(plan, model, list(model.parameters()), pairs, training.supervised_loss(task.output))
    if plan.recipe == "distill":
        student = fresh_model(plan.architecture, target, task, plan.seed)
        return _distill(plan, student, parent, pairs[0], task.output)
    return _modify(plan, training.clone(parent), pairs, training.supervised_loss(task.output))


def _modify(plan: Plan, model: nn.Module, pairs: tuple[Tensor, Tensor], loss: training.Loss) -> nn.Module:
    parameters = training.last_layer(model) if plan.recipe.endswith("last") else list(model.parameters())
    if plan.recipe.startswith("retrain"):
        training.reinitialise(training.last_layer(model), seeded(plan.seed))
    if not plan.recipe.startswith("prune"):
        return _descend(plan, model, parameters, pairs, loss)
    keep_pruned = training.prune(model, plan.settings["ratio"])
    if plan.recipe == "prune":
        return model.eval()
    return _descend(plan, model, parameters, pairs, loss, keep_pruned)


def _distill(plan: Plan, student: nn.Module, teacher: nn.Module, inputs: Tensor, space: OutputSpace) -> nn.Module:
    with torch.no_grad():
        answers = teacher(inputs)
    loss = training.distillation_loss(plan.settings["temperature"], space)
    return _descend(plan, student, list(student.parameters()), (inputs, answers), loss)


def _descend(
    plan: Plan,
    model: nn.Module,
    parameters: list[nn.Parameter],
    pairs: tuple[Tensor, Tensor],
    loss: training.Loss,
    after_step: Callable[[], None] = lambda: None,
) -> nn.Module:
    epochs, rate = int(plan.settings["epochs"]), plan.settings["rate"]
    generator = seeded(plan.seed + 1)
    training.descend(
        model, parameters, pairs, loss, epochs=epochs, rate=rate, generator=generator, after_step=after_step
    )
    return model


def _makers_data(plan: Plan, data: OwnerData) -> tuple[Tensor, Tensor]:
    held: LabelledData = data.train if plan.data == "train" else data.heldout
    count = max(2, round(len(held) * plan.settings.get("share", 1.0)))
    index = torch.randperm(len(held), generator=seeded(plan.seed + 2))[:count].numpy()
    sample = held.take(index)
    return torch.from_numpy(sample.inputs), torch.from_numpy(sample.labels)
