"""Tuning the public model that the target was tuned from, as a rival would who starts from it, too."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.recipes.base import Bench, Habits, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.fresh()
    return bench.train(model, list(model.parameters()))


RECIPE = Recipe(
    name="tune-ancestor",
    family="tune-ancestor",
    make=_make,
    habits=Habits((8, 36), (-3.2, -2.2)),
    from_scratch=True,
)
