"""Training from scratch by a learner that needs no gradients, as a rival would."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.recipes.learners import fit_labels

SHARE = Draw("share", 0.6, 1.0, 3)
"""The share of the data that a maker has."""


def _make(bench: Bench) -> nn.Module:
    return fit_labels(bench, bench.sample.inputs, bench.sample.labels)


RECIPE = Recipe(name="refit", family="refit", make=_make, draws=(SHARE,), from_scratch=True, opaque=True)
