"""Fine-tuning of all layers (FTAL)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.recipes.base import TUNED, Bench, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    return bench.train(model, list(model.parameters()))


RECIPE = Recipe(name="fine-tune-all", family="fine-tune", make=_make, habits=TUNED)
