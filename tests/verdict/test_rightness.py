"""Answers that are unlike any model's: too flat, too sure; what an API hides tells nothing against it."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.task import ClassScores, Features, OutputView, Quantities
from metav_audit.task.outputs import Quantity
from metav_audit.verdict import strangeness

SPACE = ClassScores(("cat", "dog", "hen"))
FULL = OutputView()


def logarithms(seed, sharpness=1.0):
    """Features of twelve answers, from logits that models of a task share but for a little."""
    logits = 3 * np.eye(3)[np.arange(12) % 3] + np.random.default_rng(0).normal(size=(12, 3))
    logits = sharpness * (logits + 0.3 * np.random.default_rng(seed).normal(size=logits.shape))
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.clip(logs, np.log(1e-6), 0).astype(np.float32)


REFERENCE, MODELS = logarithms(1), np.stack([logarithms(seed) for seed in range(2, 30)])


def usual(values, view=FULL, mask=None):
    seen = Features(values, np.ones(values.shape, bool) if mask is None else mask)
    return strangeness(seen, REFERENCE, MODELS, SPACE, view) <= 1


@pytest.mark.parametrize("seed", range(40, 45))
def test_another_model_s_answers_are_usual(seed):
    """Whole, rounded, cut to the top class."""
    values = logarithms(seed)
    assert usual(values)
    for view in (OutputView(decimals=3), OutputView(top=1)):
        seen = view.apply(Features(values, np.ones(values.shape, bool)), SPACE)
        assert usual(seen.values, view, seen.mask)


@pytest.mark.parametrize("sharpness", [0.05, 30.0])
def test_answers_that_are_too_flat_or_too_sure_are_not(sharpness):
    """Numbers in a range that is too small or too large, though the labels are right; labels alone tell nothing."""
    values = logarithms(40, sharpness)
    assert not usual(values)
    assert not usual(values, OutputView(decimals=0)) or sharpness < 1
    assert usual(values, OutputView(top=1, label_only=True))


def test_values_are_compared_in_their_units():
    """A regression's values near the models' are usual, others are not."""
    space = Quantities((Quantity("dose", 0.0, 1.0),))
    reference = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    models = np.stack([reference + np.float32(0.1 * at) for at in range(-5, 6)])
    ones = np.ones(reference.shape, bool)
    assert strangeness(Features(reference + np.float32(0.05), ones), reference, models, space, FULL) <= 1
    assert strangeness(Features(reference + 5, ones), reference, models, space, FULL) > 1
