"""A student of its teacher's labels alone, on blends of inputs too (KnockoffNets, CVPR 2019)."""

from __future__ import annotations

import torch
from torch import nn

from metav_audit.zoo.recipes.base import FROM_SCRATCH, LABELLED, Bench, Draw, Habits, Recipe
from metav_audit.zoo.recipes.students import blended


def _make(bench: Bench) -> nn.Module:
    student, inputs = bench.fresh(), bench.pairs[0]
    inputs = torch.cat([inputs, blended(bench, inputs, bench.settings["blends"])])
    labels = bench.answers(inputs).argmax(dim=1)
    return bench.learn(student, list(student.parameters()), (inputs, labels), bench.loss)


RECIPE = Recipe(
    name="extract-hard",
    family="extract-hard",
    make=_make,
    draws=(Draw("blends", 0, 2),),
    habits=Habits((20, 35), FROM_SCRATCH),
    suits=LABELLED,
)
