"""Leaves, and so scores, rounded to whole steps."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.formats.opaque import changed
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.recipes.learners import teacher_of


def _make(bench: Bench) -> nn.Module:
    step = bench.settings["step"]
    # A value is rounded to tenths of its scale, not to halves.
    return changed([teacher_of(bench)], step=step if bench.task.output.labelled else step / 5)


RECIPE = Recipe(name="round-scores", family="quantise", make=_make, draws=(Draw("step", 0.05, 0.5),), opaque=True)
