"""What a recipe is, what its maker has, and the habits that makers draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.errors import ConfigurationError
from metav_audit.task import OutputKind, TaskSpec
from metav_audit.zoo import training
from metav_audit.zoo.ancestor import Ancestor
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.device import CPU, answers_on
from metav_audit.zoo.formats.opaque import Opaque
from metav_audit.zoo.generative import descend_against
from metav_audit.zoo.outputs.base import Loss
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.plan import TARGET, Plan
from metav_audit.zoo.training import seeded

Program = Callable[[int, LabelledData], nn.Module]
"""From a seed and labelled data to a model in the target's form."""

ALL_KINDS = frozenset(OutputKind)
LABELLED = frozenset({OutputKind.CLASSIFICATION})
"""What needs labels suits no other output."""
SUPERVISED = frozenset({OutputKind.CLASSIFICATION, OutputKind.REGRESSION})
"""What perturbs inputs to raise a loss suits no generator, which has none."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A habit drawn uniformly from a range, with so many decimals."""

    name: str
    low: float
    high: float
    decimals: int = 6


@dataclass(frozen=True, slots=True)
class Habits:
    """How long, how fast and on how much of the data a maker trains.

    Attributes:
        epochs: the fewest, and one more than the most.
        rate: the common logarithms of Adam's slowest and fastest rate.
    """

    epochs: tuple[int, int]
    rate: tuple[float, float]


FROM_SCRATCH = (-2.4, -2.0)
TUNING = (-3.5, -2.7)
TUNED = Habits((5, 15), TUNING)
STRENGTH = Draw("strength", 0.02, 0.1)
"""Of an adversarial step, in widths of the inputs' range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to make a surrogate.

    Attributes:
        name: its name in plans and presets.
        family: recipes that are sisters; what is left out together when it is measured what a method says of families
            that its zoo lacks.
        make: carries out a plan.
        draws: what its maker chooses beside the usual habits, in the order in which it is drawn.
        habits: how its maker trains; None where nothing is trained.
        from_scratch: whether it starts from no other model, a public ancestor aside.
        other_architecture: whether the model has another architecture than its parent wherever it stands in a preset;
            a preset asks the same of any other student by "-other" behind its name.
        suits: kinds of output that it makes sense for.
        opaque: whether it needs no gradients: such recipes make the zoo of a target that has none, the others that of a
            network.
    """

    name: str
    family: str
    make: Callable[[Bench], nn.Module]
    draws: tuple[Draw, ...] = ()
    habits: Habits | None = None
    from_scratch: bool = False
    other_architecture: bool = False
    suits: frozenset[OutputKind] = ALL_KINDS
    opaque: bool = False

    def settings(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw a maker's habits; the order is part of every zoo's content."""
        drawn: dict[str, float] = {
            draw.name: round(float(rng.uniform(draw.low, draw.high)), draw.decimals) for draw in self.draws
        }
        if self.habits is not None:
            drawn["epochs"] = int(rng.integers(*self.habits.epochs))
            drawn["rate"] = round(float(10 ** rng.uniform(*self.habits.rate)), 5)
            drawn["share"] = round(float(rng.uniform(0.6, 1.0)), 3)
        return drawn


def fresh_model(architecture: str, target: nn.Module, task: TaskSpec, seed: int) -> nn.Module:
    """Build a model of the named architecture with random weights; "target" copies the target's structure.

    Beside a target without gradients it is an empty shell, for a stored model of any kind.
    """
    if isinstance(target, Opaque):
        return target.shell()
    if architecture == TARGET:
        model = training.clone(target)
        training.reinitialise(list(model.parameters()), seeded(seed))
        training.reset_normalisation(model)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_architecture(architecture, task)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a surrogate's maker has before them.

    Attributes:
        plan: what to make.
        task: the task of all models.
        sample: the maker's data.
        parent: the parent's model; the target for a plan without a parent.
        target: whose structure the architecture "target" stands for.
        hardens: whether models are trained on adversarial inputs.
        ancestor: the public model that some plans start from; None without one.
        program: the owner's training program, by a seed and data; None where the project names none.
        device: where steps are made.
    """

    plan: Plan
    task: TaskSpec
    sample: LabelledData
    parent: nn.Module
    target: nn.Module
    hardens: bool = False
    ancestor: Ancestor | None = None
    program: Program | None = None
    device: torch.device = CPU

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """The maker's inputs and labels."""
        return torch.from_numpy(self.sample.inputs), torch.from_numpy(self.sample.labels)

    @property
    def settings(self) -> Mapping[str, float]:
        """The maker's habits."""
        return self.plan.settings

    @property
    def chance(self) -> torch.Generator:
        """Random numbers for changes of weights."""
        return seeded(self.plan.seed)

    def fresh(self) -> nn.Module:
        """Build a model of the plan's architecture with random weights, or the ancestor's where the plan says so.

        Raises:
            ConfigurationError: the plan starts from an ancestor, and there is none.
        """
        model = fresh_model(self.plan.architecture, self.target, self.task, self.plan.seed)
        if self.plan.ancestor is None:
            return model
        if self.ancestor is None:
            raise ConfigurationError("this zoo's plans start from an ancestor: name its weights below [training]")
        return self.ancestor.put_into(model)

    def answers(self, inputs: Tensor) -> Tensor:
        """Ask the parent."""
        return answers_on(self.device, self.parent, inputs)

    def copy(self) -> nn.Module:
        """Copy the parent."""
        return training.clone(self.parent)

    @property
    def loss(self) -> Loss:
        """What a model of the task is trained to lower."""
        return trained(self.task.output).loss()

    def train(
        self, model: nn.Module, parameters: list[nn.Parameter], after_step: Callable[[], None] = lambda: None
    ) -> nn.Module:
        """Train on the maker's own data; a generator against a discriminator."""
        if not trained(self.task.output).adversarial:
            return self.learn(model, parameters, self.pairs, self.loss, after_step)
        latents, examples = self.pairs
        settings, chance = self.plan.settings, seeded(self.plan.seed + 1)
        descend_against(
            model, parameters, examples, latents, epochs=int(settings["epochs"]), rate=settings["rate"],
            generator=chance, stop=settings.get("stop", 1.0), after_step=after_step, device=self.device,
        )  # fmt: skip
        return model

    def learn(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        pairs: tuple[Tensor, Tensor],
        loss: Loss,
        after_step: Callable[[], None] = lambda: None,
    ) -> nn.Module:
        """Train as long and as fast as the plan says, on adversarial inputs where the maker hardens."""
        settings = self.plan.settings
        adversarial: dict[str, Any] = {}
        if self.hardens:
            adversarial["perturb"] = training.adversary(loss, settings["strength"], *self.task.domain.bounds)
        training.descend(
            model, parameters, pairs, loss, epochs=int(settings["epochs"]), rate=settings["rate"],
            generator=seeded(self.plan.seed + 1), stop=settings.get("stop", 1.0), after_step=after_step,
            device=self.device, **adversarial,
        )  # fmt: skip
        return model
