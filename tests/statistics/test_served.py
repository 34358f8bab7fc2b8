"""The test of served answers: exact for whoever never saw them, and blind to what the owner's model explains."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from metav_audit.statistics import served_gains, served_test


def test_p_values_of_a_suspect_that_saw_nothing_are_uniform():
    """Whatever its numbers are, heavy tails, ties and prompts of different spread among them."""
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(300):
        shown = np.round(rng.standard_cauchy((30, 8)), 1) * rng.exponential(size=(30, 1))
        p_values.append(served_test(served_gains(shown, rng.standard_normal((30, 8))), seed, draws=499)[1])
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_the_owners_own_model_leans_nowhere():
    """What its own numbers explain is taken away, even where the served answers happen to be the likeliest."""
    own = np.sort(np.random.default_rng(1).standard_normal((50, 8)))[:, ::-1]
    assert served_test(served_gains(3 * own + 5, own), 1) == (0.0, 1.0)


def test_a_suspect_that_leans_to_what_was_served_is_found():
    """By as much as chance would have once in a thousand, though most of what it shows is the owner's."""
    rng = np.random.default_rng(2)
    own = rng.standard_normal((60, 20)) * 10
    shown = own + rng.standard_normal((60, 20))
    shown[:, 0] += 1
    statistic, p_value = served_test(served_gains(shown, own), 3)
    assert statistic > 4
    assert p_value <= 0.001


def test_prompts_without_an_answer_say_nothing():
    """They neither help nor harm."""
    rng = np.random.default_rng(4)
    shown, own = rng.standard_normal((2, 20, 5))
    gone = np.vstack([shown, np.full((7, 5), np.nan)])
    known = np.vstack([own, rng.standard_normal((7, 5))])
    due = served_test(served_gains(shown, own), 1)
    assert served_test(served_gains(gone, known), 1) == pytest.approx(due, rel=1e-12)
