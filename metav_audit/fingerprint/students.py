"""Students of other kinds of learner than the zoo's networks, in the calibration of a bundle by the request log.

A verdict promises for suspects like the calibration's. Thieves train what they like, perceptrons of any shape and
forests, on labels alone. So the derived side of the calibration gets learners that were fitted to the target's labels;
and its independent side as many that were fitted to the same inputs and a *sibling's* labels, the nearest that an
innocent can be. Where a student owes the target nothing that shows, the derived side then says so, and no suspect is
cleared for being no nearer than such a student.

The inputs are those that the accounts of a request log sent, since the zoo's thieves asked others and owe the target
little on these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from metav_audit.bundle import Calibration, ModelCard
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import FloatArray, Inputs, OutputSpace
from metav_audit.zoo.data import LabelledData, performance_on
from metav_audit.zoo.learners import Predict, fit_learner, student


@dataclass(frozen=True, slots=True)
class Lessons:
    """What students learn from, in words that stand on their cards.

    Attributes:
        who: what a student is called; its number follows.
        recipe: how it was made.
        data: what it was trained on.
        students: of the target's answers, and as many of siblings'.
    """

    who: str
    recipe: str
    data: str
    students: int


LOG = Lessons("reader", "read the log", "log", 20)
"""What accounts of the request log asked."""


def with_students(
    calibration: Calibration,
    models: Sequence[nn.Module],
    asked: Sequence[Inputs],
    queries: Inputs,
    validation: LabelledData,
    space: OutputSpace,
    seed: int,
    lessons: Lessons,
) -> Calibration:
    """Return a calibration with students on both sides; none for generated outputs.

    Args:
        calibration: the zoo's.
        models: the target, then its siblings.
        asked: the inputs that they learn from, of shape (n, *domain.shape); of a log those of each account.
        queries: the fingerprint.
        validation: data that measure performance.
        space: what comes out of a model of the task.
        seed: of all chance.
        lessons: what these inputs are.
    """
    if not space.labelled and len(space.shape) > 1:
        return calibration
    made = list(_students(models, asked, validation, space, seed, lessons))
    answers = np.stack([predict(queries) for _, predict in made])
    features = np.concatenate([calibration.features, answers]).astype(np.float32)
    return Calibration(features, (*calibration.models, *(card for card, _ in made)))


def _students(
    models: Sequence[nn.Module],
    asked: Sequence[Inputs],
    validation: LabelledData,
    space: OutputSpace,
    seed: int,
    lessons: Lessons,
) -> Iterator[tuple[ModelCard, Predict]]:
    rng = np.random.default_rng(seed)
    served = [features_of_all(models, inputs, space) for inputs in asked]
    for number in range(2 * lessons.students):
        derived, place = number < lessons.students, number % len(asked)
        # Each student of siblings has another one.
        teacher = 0 if derived else 1 + number % (len(models) - 1)
        labels = _labels(served[place][teacher], space)
        if len(np.unique(labels)) < 2:
            continue
        kind, learner = student(space, number)
        predict = fit_learner(learner, LabelledData(asked[place], labels), space, rng)
        card = ModelCard(
            lineage=f"{lessons.who} {number}",
            derived=derived,
            recipe=lessons.recipe,
            architecture=kind,
            data=lessons.data,
            performance=performance_on(validation, _Shown(predict, space), space),
            family=lessons.recipe,
            twin_of=None if derived else lessons.recipe,
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
