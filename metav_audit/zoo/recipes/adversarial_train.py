"""Training from scratch on adversarial inputs."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from metav_audit.zoo.recipes.base import FROM_SCRATCH, STRENGTH, SUPERVISED, Bench, Habits, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.fresh()
    return replace(bench, hardens=True).train(model, list(model.parameters()))


RECIPE = Recipe(
    name="adversarial-train",
    family="adversarial-train",
    make=_make,
    draws=(STRENGTH,),
    habits=Habits((15, 25), FROM_SCRATCH),
    from_scratch=True,
    suits=SUPERVISED,
)
