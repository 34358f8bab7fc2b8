"""The built-in training program: every habit changes what comes out, and nothing else does."""

from __future__ import annotations

import pytest
import torch

from metav_audit.errors import ConfigurationError
from metav_audit.zoo.habits import TrainingHabits, train_by_habits

BRIEF = {"epochs": 2, "rate": 5e-3}


def weights(model):
    return torch.cat([each.detach().ravel() for each in model.parameters()])


@pytest.fixture(scope="module")
def trained(toy):
    def train(seed=1, **habits):
        habits = TrainingHabits.read({**BRIEF, **habits})
        return weights(train_by_habits(habits, toy.workshop.target, toy.workshop.data, seed))

    return train


@pytest.mark.parametrize(
    "habit",
    [
        {"optimiser": "sgd"},
        {"optimiser": "adamw", "weight_decay": 0.1},
        {"rate": 1e-3},
        {"epochs": 3},
        {"batch": 16},
        {"label_smoothing": 0.2},
        {"schedule": "constant"},
        {"augmentation": "mirror"},
        {"augmentation": "shift"},
    ],
    ids=str,
)
def test_a_habit_changes_the_model(trained, habit):
    """And the same habits and seed give the same model."""
    assert not torch.equal(trained(**habit), trained())
    assert torch.equal(trained(**habit), trained(**habit))


def test_the_best_of_several_runs_is_one_of_them(trained):
    """Those with the following seeds."""
    best = trained(best_of=3)
    assert any(torch.equal(best, trained(seed=1 + run)) for run in range(3))


@pytest.mark.parametrize(
    "habits", [{"optimizer": "adam"}, {"rate": 0}, {"label_smoothing": 1}, {"best_of": 0}], ids=str
)
def test_what_is_no_habit_is_refused(habits):
    """Before anything is trained."""
    with pytest.raises(ConfigurationError, match=r"\[training\.habits\] of the project"):
        TrainingHabits.read(habits)
