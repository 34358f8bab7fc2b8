"""Boosting continued from the parent on other data: small trees, added to what it says."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.formats.opaque import changed
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.recipes.learners import fit_steps, teacher_of
from metav_audit.zoo.recipes.refit import SHARE


def _make(bench: Bench) -> nn.Module:
    sample, settings = bench.sample, bench.settings
    steps = fit_steps(bench, sample.inputs, sample.labels, round(settings["rounds"]), settings["rate"])
    return changed([teacher_of(bench)], steps=steps)


RECIPE = Recipe(
    name="boost-on",
    family="fine-tune",
    make=_make,
    draws=(SHARE, Draw("rounds", 4, 16), Draw("rate", 0.05, 0.2)),
    opaque=True,
)
