"""Noise on the weights."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    training.add_noise(model, bench.settings["strength"], bench.chance)
    return model.eval()


RECIPE = Recipe(name="noise", family="noise", make=_make, draws=(Draw("strength", 0.02, 0.15),))
