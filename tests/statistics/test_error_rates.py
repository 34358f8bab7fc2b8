"""Statistics against scipy, scikit-learn, lir and plain counts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lir.data.models import LLRData
from lir.metrics import cllr as lir_cllr
from lir.metrics import cllr_min as lir_cllr_min
from sklearn.isotonic import IsotonicRegression

from metav_audit.statistics import cllr, cllr_min, clopper_pearson, conformal_tail, holm, rare_boundary, tolerance_limit
from metav_audit.statistics.cost import pool_adjacent_violators
from metav_audit.verdict.judgement import conformal_p_value

SIDE = st.lists(st.integers(-12, 12).map(lambda step: step / 4), min_size=1, max_size=20)
"""log10 LRs, with ties."""


@pytest.mark.parametrize(
    ("hits", "trials", "interval"),
    [
        (0, 30, (0.0, 0.1157033)),
        (3, 30, (0.0211171, 0.2652885)),
        (30, 30, (0.8842967, 1.0)),
        (1, 2, (0.0125791, 0.9874209)),
    ],
)
def test_clopper_pearson_is_the_published_interval(hits, trials, interval):
    """The interval equals scipy's exact binomial interval to seven places."""
    assert clopper_pearson(hits, trials) == pytest.approx(interval, abs=1e-7)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5, 0.99])
def test_boundary_is_where_the_p_value_turns(rate):
    """Beyond the boundary a p-value keeps the rate; at it, it no longer does; too few scores have none."""
    independents = np.sort(np.random.default_rng(3).random(40))
    boundary = rare_boundary(independents[::-1].tolist(), rate)
    if boundary is None:
        assert conformal_p_value(2.0, independents) > rate
    else:
        assert conformal_p_value(boundary + 1e-9, independents) <= rate < conformal_p_value(boundary, independents)


@given(st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.2, 0.7, 1.0]), max_size=6))
def test_holm_is_the_closure_of_bonferroni(p_values):
    """A hypothesis is rejected where Bonferroni rejects every set of hypotheses that holds it."""
    count = range(len(p_values))
    sets = [chosen for size in count for chosen in combinations(count, size + 1)]
    by_hand = [
        max(min(1.0, len(chosen) * min(p_values[each] for each in chosen)) for chosen in sets if at in chosen)
        for at in count
    ]
    assert holm(p_values) == pytest.approx(by_hand)


def for_lir(derived, independent):
    labels = np.repeat([1, 0], [len(derived), len(independent)])
    return LLRData(features=np.concatenate([derived, independent]).reshape(-1, 1), labels=labels)


@given(SIDE, SIDE)
def test_costs_equal_lir_s(derived, independent):
    """Cllr and Cllr min are those of lir to nine places."""
    sides = np.array(derived), np.array(independent)
    assert cllr(*sides) == pytest.approx(lir_cllr(for_lir(*sides)), abs=1e-9)
    assert cllr_min(*sides) == pytest.approx(lir_cllr_min(for_lir(*sides)), abs=1e-9)


def test_costs_at_their_ends():
    """Perfect ratios cost 0, ratios of 1 cost 1, misleading ones more, without bound; no overflow costs a warning."""
    sure, none = np.full(3, np.inf), np.zeros(3)
    assert cllr(sure, -sure) == 0.0
    assert cllr(none, none) == pytest.approx(1.0)
    assert cllr(-np.full(3, 400.0), none) > 600
    assert cllr_min(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 0.0


@given(SIDE, SIDE)
def test_pooled_violators_are_scikit_learn_s_isotonic_regression(derived, independent):
    """The odds that never fall are those of isotonic regression with both sides weighing the same."""
    sides = np.array(derived), np.array(independent)
    values, calibrated = pool_adjacent_violators(*sides)
    labels = np.repeat([1.0, 0.0], [len(derived), len(independent)])
    weights = np.repeat([1 / len(derived), 1 / len(independent)], [len(derived), len(independent)])
    isotonic = IsotonicRegression().fit(np.concatenate(sides), labels, weights)
    odds = 10**calibrated
    shares = np.where(np.isinf(odds), 1.0, odds / (1 + np.where(np.isinf(odds), 0.0, odds)))
    assert shares == pytest.approx(isotonic.predict(values), abs=1e-9)


@pytest.mark.parametrize(
    ("hits", "trials", "calibration", "rate"), [(0, 20, 40, 0.05), (5, 27, 40, 0.05), (9, 9, 4, 0.4)]
)
def test_the_conformal_tail_is_that_of_permutations(hits, trials, calibration, rate):
    """The share of random orders of calibration and trials in which so many trials are rare, counted."""
    rng = np.random.default_rng(0)
    scores = rng.random((20_000, calibration + trials))
    ranks = 1 + (scores[:, None, :calibration] >= scores[:, calibration:, None]).sum(axis=2)
    rare = (ranks <= rate * (calibration + 1)).sum(axis=1)
    assert conformal_tail(hits, trials, calibration, rate) == pytest.approx((rare >= hits).mean(), abs=0.01)


def test_so_few_calibration_scores_that_nothing_is_rare():
    """With four scores no p-value is as low as 5 %: a hit is impossible."""
    assert (conformal_tail(0, 20, 4, 0.05), conformal_tail(1, 20, 4, 0.05)) == (1, 0)


@pytest.mark.parametrize(("calibration", "rate"), [(19, 0.05), (40, 0.05), (200, 0.05), (99, 0.01), (7, 0.5)])
def test_the_tolerance_limit_is_a_quantile_of_the_beta_distribution(calibration, rate):
    """As scipy has it."""
    beta = pytest.importorskip("scipy.stats").beta
    extremes = int(rate * (calibration + 1) + 1e-9)
    expected = beta.ppf(0.95, extremes, calibration + 1 - extremes)
    assert tolerance_limit(calibration, rate) == pytest.approx(expected, abs=1e-6)


def test_without_a_p_value_small_enough_nothing_is_called_rare():
    """Ten scores bear no p-value of 5 %."""
    assert tolerance_limit(10, 0.05) == 0.0
