"""A student of its teacher's answers, trained on adversarial inputs."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from metav_audit.zoo.recipes.base import FROM_SCRATCH, STRENGTH, SUPERVISED, Bench, Habits, Recipe
from metav_audit.zoo.recipes.distill import TEMPERATURE
from metav_audit.zoo.recipes.students import taught


def _make(bench: Bench) -> nn.Module:
    return taught(replace(bench, hardens=True), bench.pairs[0])


RECIPE = Recipe(
    name="distill-adversarial",
    family="distill",
    make=_make,
    draws=(TEMPERATURE, STRENGTH),
    habits=Habits((20, 30), FROM_SCRATCH),
    suits=SUPERVISED,
)
