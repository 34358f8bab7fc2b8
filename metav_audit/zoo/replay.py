"""Replay: the training program run again with the target's own seed. If it gives the target's answers, it is proven.

Undeclared data, or a target that was chosen as the best of several runs, show in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import Inputs, OutputSpace
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.program import run_program
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.shown import compared_on

NEAR = 0.5
"""A run is nearly the target's if it lies within this share of the least distance between any two siblings."""


class ReplayStatus(StrEnum):
    """What the target's own seed gave."""

    REPRODUCED = "reproduced"
    """The target's own answers, within what two calls of one model may differ by."""
    NEARLY = "nearly reproduced"
    """Answers far nearer to the target's than any sibling's are to another's: other hardware, other versions."""
    NOT_REPRODUCED = "not reproduced"


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found; distances are in the output's canonical units.

    Attributes:
        status: in a word.
        seed: that was run.
        furthest: the largest difference in one number of one answer.
        tolerance: what it may be where the target is reproduced.
        distance: the root of the mean squared difference.
        siblings: the least such distance between two siblings, or between one and the target.
    """

    status: ReplayStatus
    seed: int
    furthest: float
    tolerance: float
    distance: float
    siblings: float

    def __str__(self) -> str:
        """Say what was found in one line."""
        return (
            f"{self.status}: seed {self.seed} gave answers that differ by {self.furthest:.2g} at most (tolerance "
            f"{self.tolerance:g}) and by {self.distance:.2g} on the whole, where two siblings differ by "
            f"{self.siblings:.2g} at least"
        )


def replay_target(workshop: Workshop, siblings: Sequence[nn.Module]) -> Replay:
    """Run the training program with the target's own seed, and compare what it gives with the target.

    They are compared on natural inputs and on noise.

    Args:
        workshop: the owner's; its project names a program and the target's seed.
        siblings: the target's, to tell near from far.

    Raises:
        ConfigurationError: no seed is named.
        DataError: the program fails.
    """
    models = [workshop.target.network, *siblings, run_target_seed(workshop)]
    inputs = compared_on(workshop.data, workshop.target.task.domain)
    answers = np.stack([_features(model, inputs, workshop) for model in models])
    return compare_answers(answers[:-1], answers[-1], seed_of(workshop), workshop.target.task.output)


def run_target_seed(workshop: Workshop) -> nn.Module:
    """Run the training program with the target's own seed; the errors are those of ``replay_target``."""
    return run_program(workshop, seed_of(workshop))


def seed_of(workshop: Workshop) -> int:
    """Return the target's own training seed.

    Raises:
        ConfigurationError: the project names none.
    """
    training = workshop.project.training
    if training is None or training.seed is None:
        raise ConfigurationError(
            f"no training seed is named in {workshop.project.path}: set seed below [training] to the target's own"
        )
    return training.seed


def compare_answers(models: NDArray[Any], again: NDArray[Any], seed: int, space: OutputSpace) -> Replay:
    """Compare a run's answers with the target's.

    Args:
        models: canonical features of target and siblings, the target first, of shape (K + 1, N, D).
        again: those of the run, of shape (N, D).
        seed: of the run.
        space: what the features are of.
    """
    models, again = models.astype(np.float64), again.astype(np.float64)
    apart = min(_rms(one, other) for at, one in enumerate(models) for other in models[:at])
    furthest, distance = float(np.abs(models[0] - again).max()), _rms(models[0], again)
    if furthest <= space.tolerance:
        status = ReplayStatus.REPRODUCED
    elif distance <= NEAR * apart:
        status = ReplayStatus.NEARLY
    else:
        status = ReplayStatus.NOT_REPRODUCED
    return Replay(status, seed, furthest, space.tolerance, distance, apart)


def check_replayed(found: Replay) -> None:
    """Raise DataError if the seed that the project names does not give the target."""
    if found.status is ReplayStatus.NOT_REPRODUCED:
        raise DataError(
            f"the training program does not give the target again ({found}): program, data or seed below [training] "
            "are not the target's own, and siblings of another program promise nothing. Mend them; where the seed is "
            "not known leave it out, and the report says that the program is claimed"
        )


@torch.no_grad()
def _features(model: nn.Module, inputs: Inputs, workshop: Workshop) -> NDArray[np.float64]:
    output = trained(workshop.target.task.output)
    return output.features(model(torch.from_numpy(inputs))).numpy().astype(np.float64)


def _rms(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.sqrt(((one - other) ** 2).mean()))
