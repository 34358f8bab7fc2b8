"""Fine-tuning of the last layer (FTLL)."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo import training
from metav_audit.zoo.recipes.base import TUNED, Bench, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    return bench.train(model, training.last_layer(model))


RECIPE = Recipe(name="fine-tune-last", family="fine-tune", make=_make, habits=TUNED)
