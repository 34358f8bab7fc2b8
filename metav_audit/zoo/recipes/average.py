"""Fine-tuning, then a mean of the weights with the parent's."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import TUNED, Bench, Draw, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    bench.train(model, list(model.parameters()))
    training.average(model, bench.parent, bench.settings["share_of_parent"])
    return model


RECIPE = Recipe(name="average", family="average", make=_make, draws=(Draw("share_of_parent", 0.3, 0.7),), habits=TUNED)
