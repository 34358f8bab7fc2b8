"""Models that learnt from what accounts of the request log were served: the calibration of a bundle by a log.

The zoo's thieves asked other inputs, and owe the target little on the log's. So the derived side of the calibration
gets *readers*, learners of several kinds that were fitted to an account's inputs and the target's answers; and its
independent side as many that were fitted to the same inputs and a *sibling's* answers, the nearest that an innocent can
be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from metav_audit.bundle import Calibration, ModelCard
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import FloatArray, Inputs, OutputSpace
from metav_audit.zoo.data import LabelledData, performance_on
from metav_audit.zoo.learners import Predict, fit_learner, student

READERS = 20
"""Readers of the target's answers, and as many of siblings', over all accounts."""

DATA = "log"
"""What a reader was trained on, on its card."""


def with_readers(
    calibration: Calibration,
    models: Sequence[nn.Module],
    asked: Sequence[Inputs],
    queries: Inputs,
    validation: LabelledData,
    space: OutputSpace,
    seed: int,
) -> Calibration:
    """Return a calibration with readers on both sides; none for generated outputs.

    Args:
        calibration: the zoo's.
        models: the target, then its siblings.
        asked: the inputs of each account that are looked at.
        queries: the fingerprint.
        validation: data that measure performance.
        space: what comes out of a model of the task.
        seed: of all chance.
    """
    if not space.labelled and len(space.shape) > 1:
        return calibration
    made = list(_readers(models, asked, validation, space, seed))
    answers = np.stack([predict(queries) for _, predict in made])
    features = np.concatenate([calibration.features, answers]).astype(np.float32)
    return Calibration(features, (*calibration.models, *(card for card, _ in made)))


def _readers(
    models: Sequence[nn.Module], asked: Sequence[Inputs], validation: LabelledData, space: OutputSpace, seed: int
) -> Iterator[tuple[ModelCard, Predict]]:
    rng = np.random.default_rng(seed)
    served = [features_of_all(models, inputs, space) for inputs in asked]
    for number in range(2 * READERS):
        derived, place = number < READERS, number % len(asked)
        # Each reader of siblings has another one.
        teacher = 0 if derived else 1 + number % (len(models) - 1)
        labels = _labels(served[place][teacher], space)
        if len(np.unique(labels)) < 2:
            continue
        kind, learner = student(space, number)
        predict = fit_learner(learner, LabelledData(asked[place], labels), space, rng)
        card = ModelCard(
            lineage=f"reader {number}",
            derived=derived,
            recipe="read the log",
            architecture=kind,
            data=DATA,
            performance=performance_on(validation, _Shown(predict, space), space),
            family="read the log",
            twin_of=None if derived else "read the log",
        )
        yield card, predict


def _labels(answers: FloatArray, space: OutputSpace) -> np.ndarray:
    if space.labelled:
        return np.asarray(answers.argmax(axis=1), dtype=np.int64)
    return np.asarray(space.shown(answers), dtype=np.float32)


class _Shown(nn.Module):
    """A learner as a model of torch's, for what measures performance."""

    def __init__(self, predict: Predict, space: OutputSpace) -> None:
        super().__init__()
        self._predict, self._space = predict, space

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Answer as an API would."""
        return torch.from_numpy(self._space.shown(self._predict(inputs.numpy())))
