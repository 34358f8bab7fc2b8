"""The last layer drawn anew, then it alone trained (RTLL)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import Bench, Habits, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    training.reinitialise(training.last_layer(model), bench.chance)
    return bench.train(model, training.last_layer(model))


RECIPE = Recipe(
    name="retrain-last",
    family="retrain",
    make=_make,
    habits=Habits((15, 30), (-2.3, -1.8)),
)
