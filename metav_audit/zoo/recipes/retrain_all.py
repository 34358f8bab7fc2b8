"""The last layer drawn anew, then all layers trained (RTAL)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import Bench, Habits, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    training.reinitialise(training.last_layer(model), bench.chance)
    return bench.train(model, list(model.parameters()))


RECIPE = Recipe(
    name="retrain-all",
    family="retrain",
    make=_make,
    habits=Habits((10, 20), (-2.8, -2.3)),
)
