"""Training from scratch, as a rival would."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.recipes.base import FROM_SCRATCH, Bench, Habits, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.fresh()
    return bench.train(model, list(model.parameters()))


RECIPE = Recipe(
    name="train",
    family="train",
    make=_make,
    habits=Habits((20, 35), FROM_SCRATCH),
    from_scratch=True,
)
