"""Reference suspects of other kinds of learner: fit and predict, in the task's own features."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.task import ClassScores, GeneratedTensor, Quantities
from metav_audit.task.outputs.values import Quantity
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.learners import fit_learners

CLASSES = ClassScores(("a", "b", "c"))
DOSE = Quantities((Quantity("dose", 30.0, 10.0),))


def owner(labels):
    rng = np.random.default_rng(0)
    inputs = rng.uniform(size=(60, 1, 3, 3)).astype(np.float32)
    part = LabelledData(inputs, labels(inputs))
    return OwnerData(part, part, part)


def by_corner(inputs):
    return (inputs[:, 0, 0, 0] * 3).astype(np.int64)


def test_of_classes_they_give_log_probabilities():
    """Each of five kinds on either of the owner's data, better than guessing on what it was fitted on."""
    data = owner(by_corner)
    learners = fit_learners(data, CLASSES, 0)
    assert len(learners) == 10
    for predict in learners:
        answers = predict(data.train.inputs)
        assert (answers.shape, answers.dtype) == ((60, 3), np.float32)
        assert np.allclose(np.exp(answers).sum(axis=1), 1, atol=1e-4)
        assert (answers.argmax(axis=1) == data.train.labels).mean() > 0.4


def test_a_class_that_one_never_saw_has_the_least_probability():
    """Its column is there all the same."""
    data = owner(lambda inputs: np.minimum(by_corner(inputs), 1))
    for predict in fit_learners(data, CLASSES, 0):
        assert predict(data.train.inputs)[:, 2].max() == pytest.approx(np.log(1e-6), abs=1e-4)


def test_of_a_regression_they_give_values_in_its_units():
    """Standard deviations from the centre."""
    data = owner(lambda inputs: (30 + 10 * inputs[:, 0, 0, :1]).astype(np.float32))
    for predict in fit_learners(data, DOSE, 0):
        answers = predict(data.train.inputs)
        assert answers.shape == (60, 1)
        assert np.abs(answers[:, 0] - data.train.inputs[:, 0, 0, 0]).mean() < 0.6


def test_the_same_seed_gives_the_same_learners():
    """To the bit."""
    data = owner(by_corner)
    first, again = (fit_learners(data, CLASSES, 3) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one(data.train.inputs), other(data.train.inputs))


def test_generated_outputs_have_none():
    """There are no labels to learn."""
    assert fit_learners(owner(by_corner), GeneratedTensor((1, 3, 3)), 0) == []
