"""A student of its teacher's labels alone, by a learner that needs no gradients (KnockoffNets, CVPR 2019)."""

from __future__ import annotations

import numpy as np
from torch import nn

from metav_audit.errors import DataError
from metav_audit.zoo.recipes.base import LABELLED, Bench, Recipe
from metav_audit.zoo.recipes.learn_scores import BLENDS
from metav_audit.zoo.recipes.learners import answers_of, crossed, fit_labels
from metav_audit.zoo.recipes.refit import SHARE


def _make(bench: Bench) -> nn.Module:
    inputs = bench.sample.inputs
    asked = np.concatenate([inputs, crossed(bench, inputs, bench.settings["blends"])])
    labels = answers_of(bench, asked).argmax(axis=1)
    if len(np.unique(labels)) < 2:
        raise DataError("the teacher gives all inputs one label: there is nothing to learn")
    return fit_labels(bench, asked, labels)


RECIPE = Recipe(
    name="learn-labels", family="extract-hard", make=_make, draws=(SHARE, BLENDS), suits=LABELLED, opaque=True
)
