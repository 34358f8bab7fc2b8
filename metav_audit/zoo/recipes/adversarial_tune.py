"""Fine-tuning of all layers on adversarial inputs."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from metav_audit.zoo.recipes.base import STRENGTH, SUPERVISED, TUNED, Bench, Recipe


def _make(bench: Bench) -> nn.Module:
    model = bench.copy()
    return replace(bench, hardens=True).train(model, list(model.parameters()))


RECIPE = Recipe(
    name="adversarial-tune",
    family="fine-tune",
    make=_make,
    draws=(STRENGTH,),
    habits=TUNED,
    suits=SUPERVISED,
)
