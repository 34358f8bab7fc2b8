"""A wrapper that calibrates: log-odds, or values, stretched and shifted (Platt 1999)."""

from __future__ import annotations

import numpy as np
from torch import nn

from metav_audit.zoo.formats.opaque import changed
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.recipes.learners import chance_of, teacher_of


def _make(bench: Bench) -> nn.Module:
    settings, space = bench.settings, bench.task.output
    shift = settings["shift"] * chance_of(bench).standard_normal(space.size)
    # Values that were far off would be of use to no one.
    slope = settings["slope"] if space.labelled else 1 + (settings["slope"] - 1) / 10
    return changed([teacher_of(bench)], slope=slope, shift=np.asarray(shift).tolist())


RECIPE = Recipe(
    name="recalibrate",
    family="recalibrate",
    make=_make,
    draws=(Draw("slope", 0.6, 1.6), Draw("shift", 0.0, 0.2)),
    opaque=True,
)
