"""The smallest weights set to zero (Han et al. 2015)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe

RATIO = Draw("ratio", 0.2, 0.6)
"""Six decimals, so that no two lineages are pruned alike: pruning has no other chance in it."""


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    training.prune(model, bench.settings["ratio"])
    return model.eval()


RECIPE = Recipe(name="prune", family="prune", make=_make, draws=(RATIO,))
