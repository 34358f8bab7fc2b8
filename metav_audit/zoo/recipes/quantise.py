"""Weights rounded to a few bits."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    training.quantise(model, int(bench.settings["bits"]), bench.chance)
    return model.eval()


RECIPE = Recipe(name="quantise", family="quantise", make=_make, draws=(Draw("bits", 4, 9),))
