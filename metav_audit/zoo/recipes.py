"""Recipes: how a surrogate is made from its parent, its maker's data and a seed.

The four tunings are those of the watermarking and fingerprinting literature (FTLL, FTAL, RTLL, RTAL: fine-tune or
retrain, the last layer or all layers; Adi et al., USENIX Security 2018): "retrain" draws the last layer anew first.
Students learn from their teacher's answers: all of them ("distill"), its labels alone ("extract-hard") or its answers
to inputs that are none of the task ("extract-ood"), the last two after KnockoffNets (Orekondy et al., CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.task import OutputKind, TaskSpec
from metav_audit.zoo import training
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.generative import descend_against
from metav_audit.zoo.plan import FROM_SCRATCH, TARGET, Plan
from metav_audit.zoo.removal import remove_fingerprint
from metav_audit.zoo.training import seeded

RECIPE_VERSION = 2
"""Part of every stored model's address: raise it when a recipe's outcome, or its measuring, changes."""

STUDENTS = ("distill", "distill-adversarial", "extract-hard", "extract-ood")
"""Recipes that train a fresh model on its teacher's answers."""


UNTRAINED = ("prune", "quantise", "noise")
"""Recipes that change weights without data."""


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
    makers = _Makers(plan, task, _sample(plan, data))
    if plan.recipe in FROM_SCRATCH:
        model = fresh_model(plan.architecture, target, task, plan.seed)
        return makers.train(model, list(model.parameters()))
    if plan.recipe in STUDENTS:
        return _teach(makers, fresh_model(plan.architecture, target, task, plan.seed), parent)
    if plan.recipe == "removal":
        return remove_fingerprint(training.clone(parent), parent, makers.pairs[0], plan.settings, seeded(plan.seed))
    return _modify(makers, training.clone(parent), parent)


@dataclass(frozen=True, slots=True)
class _Makers:
    """What a surrogate's maker has: a plan, a task and a sample of data."""

    plan: Plan
    task: TaskSpec
    sample: LabelledData

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.sample.inputs), torch.from_numpy(self.sample.labels)

    @property
    def loss(self) -> training.Loss:
        return training.supervised_loss(self.task.output)

    def train(
        self, model: nn.Module, parameters: list[nn.Parameter], after_step: Callable[[], None] = lambda: None
    ) -> nn.Module:
        """Train on the maker's own data; a generator against a discriminator."""
        if self.task.output.kind is not OutputKind.GENERATION:
            return self.learn(model, parameters, self.pairs, self.loss, after_step)
        latents, examples = self.pairs
        settings, chance = self.plan.settings, seeded(self.plan.seed + 1)
        descend_against(
            model, parameters, examples, latents, epochs=int(settings["epochs"]), rate=settings["rate"],
            generator=chance, stop=settings.get("stop", 1.0), after_step=after_step,
        )  # fmt: skip
        return model

    def learn(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        pairs: tuple[Tensor, Tensor],
        loss: training.Loss,
        after_step: Callable[[], None] = lambda: None,
    ) -> nn.Module:
        """Train as long and as fast as the plan says, on adversarial inputs where its recipe does."""
        settings = self.plan.settings
        adversarial: dict[str, Any] = {}
        if "adversarial" in self.plan.recipe:
            adversarial["perturb"] = training.adversary(loss, settings["strength"], *self.task.domain.bounds)
        training.descend(
            model, parameters, pairs, loss, epochs=int(settings["epochs"]), rate=settings["rate"],
            generator=seeded(self.plan.seed + 1), stop=settings.get("stop", 1.0), after_step=after_step, **adversarial,
        )  # fmt: skip
        return model


def _modify(makers: _Makers, model: nn.Module, parent: nn.Module) -> nn.Module:
    plan, settings, chance = makers.plan, makers.plan.settings, seeded(makers.plan.seed)
    keep: Callable[[], None] = lambda: None  # noqa: E731 - what holds zeroed weights at zero while they are tuned
    match plan.recipe:
        case "prune" | "prune-tune":
            keep = training.prune(model, settings["ratio"])
        case "filter-prune":
            keep = training.prune_filters(model, settings["ratio"])
        case "retrain-last" | "retrain-all":
            training.reinitialise(training.last_layer(model), chance)
        case "quantise":
            training.quantise(model, int(settings["bits"]), chance)
        case "noise":
            training.add_noise(model, settings["strength"], chance)
    if plan.recipe in UNTRAINED:
        return model.eval()
    tuned = training.last_layer(model) if plan.recipe.endswith("last") else list(model.parameters())
    makers.train(model, tuned, keep)
    if plan.recipe == "average":
        training.average(model, parent, settings["share_of_parent"])
    return model


def _teach(makers: _Makers, student: nn.Module, teacher: nn.Module) -> nn.Module:
    """Train a student on its teacher's answers."""
    plan, space = makers.plan, makers.task.output
    inputs = makers.pairs[0]
    if plan.recipe == "extract-hard":
        inputs = torch.cat([inputs, _blended(makers, inputs, plan.settings["blends"])])
    if plan.recipe == "extract-ood":
        inputs = _out_of_distribution(makers, inputs)
    with torch.no_grad():
        answers = teacher(inputs)
    loss = training.distillation_loss(plan.settings.get("temperature", 1.0), space)
    if plan.recipe == "extract-hard":
        answers, loss = answers.argmax(dim=1), makers.loss
    return makers.learn(student, list(student.parameters()), (inputs, answers), loss)


def _blended(makers: _Makers, inputs: Tensor, times: float) -> Tensor:
    """Return ``times`` as many valid inputs, each between two of them (mixup: Zhang et al., ICLR 2018)."""
    rng = np.random.default_rng(makers.plan.seed + 3)
    first, second = rng.integers(0, len(inputs), size=(2, round(times * len(inputs))))
    weights = rng.uniform(0.3, 0.7, size=(len(first), *[1] * (inputs.ndim - 1))).astype(np.float32)
    between = weights * inputs.numpy()[first] + (1 - weights) * inputs.numpy()[second]
    return torch.from_numpy(makers.task.domain.project(between))


def _out_of_distribution(makers: _Makers, inputs: Tensor) -> Tensor:
    """Return as many inputs that are none of the task.

    Blends of two images, one of them mirrored; of rows and vectors, each element another one's, so that nothing in them
    belongs together.
    """
    if inputs.ndim == 4:
        return _blended(makers, torch.cat([inputs, inputs.flip(3)]), 1.0)
    rng = np.random.default_rng(makers.plan.seed + 3)
    apart = rng.permuted(inputs.numpy(), axis=0)
    return torch.from_numpy(makers.task.domain.project(apart))


def _sample(plan: Plan, data: OwnerData) -> LabelledData:
    held: LabelledData = data.train if plan.data == "train" else data.heldout
    count = max(2, round(len(held) * plan.settings.get("share", 1.0)))
    index = torch.randperm(len(held), generator=seeded(plan.seed + 2))[:count].numpy()
    return held.take(index)
