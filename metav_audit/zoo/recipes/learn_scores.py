"""A student of its teacher's scores or values, by a learner that needs no gradients."""

from __future__ import annotations

import numpy as np
from torch import nn

from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.recipes.learners import answers_of, crossed, fit_scores
from metav_audit.zoo.recipes.refit import SHARE

BLENDS = Draw("blends", 0.0, 1.0)
"""How many inputs of one's own making join those that one has."""


def _make(bench: Bench) -> nn.Module:
    inputs = bench.sample.inputs
    asked = np.concatenate([inputs, crossed(bench, inputs, bench.settings["blends"])])
    return fit_scores(bench, asked, answers_of(bench, asked))


RECIPE = Recipe(name="learn-scores", family="distill", make=_make, draws=(SHARE, BLENDS), opaque=True)
