"""The built-in training program: the target's structure, from random weights or its ancestor's, by stated habits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from metav_audit.config import first_problem
from metav_audit.errors import ConfigurationError
from metav_audit.zoo.ancestor import Ancestor
from metav_audit.zoo.data import LabelledData, OwnerData, performance_on
from metav_audit.zoo.device import CPU
from metav_audit.zoo.formats.opaque import has_gradients
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.plan import TARGET
from metav_audit.zoo.recipes.base import fresh_model
from metav_audit.zoo.target import TargetModel
from metav_audit.zoo.training import descend, seeded

BUILT_IN_PROGRAM = "built-in"
"""The program's name in a project."""


class TrainingHabits(BaseModel):
    """How the target was trained.

    Attributes:
        optimiser: its name in torch.
        rate: its learning rate.
        epochs: passes over the training data.
        batch: inputs a step.
        weight_decay: the optimiser's.
        momentum: of sgd.
        label_smoothing: of classifications, in [0, 1).
        schedule: of the rate: constant, or a cosine down to zero.
        augmentation: of pictures: none, mirrored left to right half of the time, or shifted by up to a pixel in ten.
        best_of: runs of which the best on the validation data was kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = Field(default=1e-3, gt=0, lt=10)
    epochs: int = Field(default=20, ge=1, le=10_000)
    batch: int = Field(default=32, ge=1)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["constant", "cosine"] = "cosine"
    augmentation: Literal["none", "mirror", "shift"] = "none"
    best_of: int = Field(default=1, ge=1, le=100)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read the table [training.habits] of a project.

        Raises:
            ConfigurationError: a habit is unknown or out of range.
        """
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            raise ConfigurationError(f"[training.habits] of the project: {first_problem(error, model=cls)}") from None


def train_by_habits(
    habits: TrainingHabits,
    target: TargetModel,
    data: OwnerData,
    seed: int,
    ancestor: Ancestor | None = None,
    device: torch.device = CPU,
) -> nn.Module:
    """Train the target's structure anew, from random weights or from its ancestor's, its steps on a device.

    Raises:
        ConfigurationError: the habits do not suit the task.
        DataError: the training diverged.
    """
    if not has_gradients(target.network):
        raise ConfigurationError(
            'the built-in program trains networks of torch alone: name your own, program = "module:function", taking '
            "(seed, data) and returning the fitted model"
        )
    if trained(target.task.output).adversarial:
        raise ConfigurationError("the built-in program trains no generator: name a program of your own as program")
    runs = [_one_run(habits, target, data.train, seed + run, ancestor, device) for run in range(habits.best_of)]
    return max(runs, key=lambda model: performance_on(data.validation, model, target.task.output))


def _one_run(
    habits: TrainingHabits,
    target: TargetModel,
    data: LabelledData,
    seed: int,
    ancestor: Ancestor | None,
    device: torch.device,
) -> nn.Module:
    task, generator = target.task, seeded(seed)
    model = fresh_model(TARGET, target.network, task, seed)
    if ancestor is not None:
        ancestor.put_into(model)
    loss = trained(task.output).loss()
    if habits.label_smoothing and task.output.labelled:
        loss = nn.CrossEntropyLoss(label_smoothing=habits.label_smoothing)
    descend(
        model,
        list(model.parameters()),
        (torch.from_numpy(data.inputs), torch.from_numpy(data.labels)),
        loss,
        epochs=habits.epochs,
        rate=habits.rate,
        generator=generator,
        batch=habits.batch,
        perturb=lambda _, inputs, __: _augmented(inputs, habits.augmentation, generator),
        optimiser=lambda parameters, rate: _optimiser(habits, parameters, rate),
        decayed=habits.schedule == "cosine",
        device=device,
    )
    return model


def _optimiser(habits: TrainingHabits, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    if habits.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=habits.momentum, weight_decay=habits.weight_decay)
    kind = torch.optim.AdamW if habits.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=habits.weight_decay)


def _augmented(inputs: Tensor, how: str, generator: torch.Generator) -> Tensor:
    if how == "none":
        return inputs
    if inputs.ndim != 4:
        raise ConfigurationError(f'augmentation = "{how}" is for pictures, and these inputs are none')
    if how == "mirror":
        turned = torch.rand(len(inputs), 1, 1, 1, generator=generator) < 0.5
        return torch.where(turned.to(inputs.device), inputs.flip(-1), inputs)
    reach = max(1, round(inputs.shape[-1] / 10))
    down, right = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
    padded = nn.functional.pad(inputs, (reach, reach, reach, reach))
    rows, columns = reach + down, reach + right
    return padded[..., rows : rows + inputs.shape[-2], columns : columns + inputs.shape[-1]]
