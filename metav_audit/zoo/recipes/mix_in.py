"""The mean of the parent's scores and those of a model of one's own."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.formats.opaque import changed
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.recipes.learners import fit_labels, teacher_of
from metav_audit.zoo.recipes.refit import SHARE


def _make(bench: Bench) -> nn.Module:
    own, share = fit_labels(bench, bench.sample.inputs, bench.sample.labels), bench.settings["share_of_parent"]
    return changed([teacher_of(bench), own], weights=[share, 1 - share])


RECIPE = Recipe(
    name="mix-in",
    family="average",
    make=_make,
    draws=(SHARE, Draw("share_of_parent", 0.4, 0.8)),
    other_architecture=True,
    opaque=True,
)
