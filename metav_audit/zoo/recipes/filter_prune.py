"""Whole filters set to zero, the others fine-tuned (Li et al., ICLR 2017)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import TUNED, Bench, Draw, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    keep = training.prune_filters(model, bench.settings["ratio"])
    return bench.train(model, list(model.parameters()), keep)


RECIPE = Recipe(name="filter-prune", family="prune", make=_make, draws=(Draw("ratio", 0.1, 0.4),), habits=TUNED)
