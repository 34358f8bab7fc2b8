"""The smallest weights set to zero, the others fine-tuned."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import TUNED, Bench, Recipe
from metav_audit.zoo.recipes.prune import RATIO


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    keep = training.prune(model, bench.settings["ratio"])
    return bench.train(model, list(model.parameters()), keep)


RECIPE = Recipe(name="prune-tune", family="prune", make=_make, draws=(RATIO,), habits=TUNED)
