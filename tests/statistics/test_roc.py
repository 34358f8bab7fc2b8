"""Figures of merit against scikit-learn and plain references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from metav_audit.statistics import aruc, mean_interval, roc_auc, tpr_at_fpr

COARSE = st.lists(st.integers(0, 6).map(lambda score: score / 6), min_size=1, max_size=30)
FINE = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30)
SIDES = st.tuples(COARSE, COARSE) | st.tuples(FINE, FINE)
"""Scores of both sides, with and without ties."""


def as_arrays(sides):
    return tuple(np.array(side) for side in sides)


def labelled(derived, independent):
    return np.r_[np.ones(len(derived)), np.zeros(len(independent))], np.r_[derived, independent]


@given(SIDES)
def test_auc_equals_scikit_learn_s(sides):
    """Ties count half."""
    derived, independent = as_arrays(sides)
    assert roc_auc(derived, independent) == pytest.approx(roc_auc_score(*labelled(derived, independent)))


@given(SIDES)
def test_auc_is_mirrored_when_the_sides_are_swapped(sides):
    """Swapping derived and independent gives one minus the AUC."""
    derived, independent = as_arrays(sides)
    assert roc_auc(derived, independent) == pytest.approx(1 - roc_auc(independent, derived))


@given(SIDES, st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.5, 1.0]))
def test_tpr_at_fpr_is_the_best_point_of_scikit_learn_s_curve(sides, limit):
    """The largest true positive rate whose false positive rate keeps the limit, ties and all."""
    derived, independent = as_arrays(sides)
    false, true, _ = roc_curve(*labelled(derived, independent), drop_intermediate=False)
    assert tpr_at_fpr(derived, independent, limit) == pytest.approx(true[false <= limit + 1e-9].max())


@given(st.tuples(COARSE, COARSE))
def test_aruc_equals_a_fine_sum(sides):
    """The exact area equals the mean of min(robustness, uniqueness) over many thresholds between the scores."""
    derived, independent = as_arrays(sides)
    thresholds = (np.arange(600) + 0.5) / 600
    robustness = [(derived >= threshold).mean() for threshold in thresholds]
    uniqueness = [(independent < threshold).mean() for threshold in thresholds]
    assert aruc(derived, independent) == pytest.approx(np.minimum(robustness, uniqueness).mean(), abs=1e-9)


def test_perfect_and_worthless_scores():
    """Perfect separation over the whole range is 1 in every figure, its reverse 0."""
    high, low = np.ones(5), np.zeros(5)
    assert (roc_auc(high, low), tpr_at_fpr(high, low, 0.01), aruc(high, low)) == (1, 1, 1)
    assert (roc_auc(low, high), tpr_at_fpr(low, high, 0.01), aruc(low, high)) == (0, 0, 0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_is_student_s(values):
    """The half-width is that of scipy's t interval."""
    mean, half = mean_interval(np.array(values))
    spread = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread) if spread else (mean, mean)
    assert mean == pytest.approx(np.mean(values))
    assert half == pytest.approx((high - low) / 2, abs=1e-9)


def test_one_target_has_no_interval():
    """A single value has a mean and no interval."""
    mean, half = mean_interval(np.array([0.7]))
    assert mean == 0.7
    assert np.isnan(half)
