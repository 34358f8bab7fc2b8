"""A student of its teacher's answers (Hinton et al. 2015)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.recipes.base import FROM_SCRATCH, Bench, Draw, Habits, Recipe
from metav_audit.zoo.recipes.students import taught

TEMPERATURE = Draw("temperature", 1.0, 4.0, 2)


def _make(bench: Bench) -> nn.Module:
    return taught(bench, bench.pairs[0])


RECIPE = Recipe(
    name="distill", family="distill", make=_make, draws=(TEMPERATURE,), habits=Habits((35, 55), FROM_SCRATCH)
)
