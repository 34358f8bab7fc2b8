"""The coin test: exact for whoever never saw the coins, and powerful against whoever learned them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from metav_audit.statistics import coin_gains, coin_test
from tests.scale import at_scale


@pytest.mark.scaled
def test_p_values_of_innocents_are_uniform():
    """Whatever the suspect answers: here leaning, heavy-tailed, half of it hidden."""
    rng = np.random.default_rng(0)
    heads, tails = np.sort(rng.uniform(size=(2, 48)), axis=0)[::-1]
    theirs = np.where(rng.uniform(size=48) < 0.3, np.nan, rng.beta(0.3, 0.1, 48))
    gains = coin_gains(theirs, heads, tails)
    count = at_scale(200, 2000)
    p_values = [coin_test(gains, rng.choice([-1.0, 1.0], 48), seed, 999)[1] for seed in range(count)]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_who_learned_the_coins_is_found():
    """A suspect that leans a third of the way to what was served."""
    rng = np.random.default_rng(1)
    coins = rng.choice([-1.0, 1.0], 64)
    heads, tails = np.full(64, 0.8), np.full(64, 0.3)
    served = np.where(coins > 0, heads, tails)
    theirs = np.clip(rng.normal(0.55, 0.2, 64) + (served - 0.55) / 3, 0, 1)
    statistic, p_value = coin_test(coin_gains(theirs, heads, tails), coins, 0)
    assert statistic > 3
    assert p_value < 0.01
    assert coin_test(coin_gains(theirs, heads, tails), -coins, 0)[1] > 0.99


def test_nothing_shown_shows_nothing():
    """No answer, or no coin that moves anything, is a p-value of 1."""
    hidden = coin_gains(np.full(8, np.nan), np.full(8, 0.9), np.full(8, 0.1))
    unmoved = coin_gains(np.full(8, 0.7), np.full(8, 0.6), np.full(8, 0.6))
    assert coin_test(hidden, np.ones(8), 0) == coin_test(unmoved, np.ones(8), 0) == (0.0, 1.0)
