"""From scores to likelihood ratios: equal to lir's, within their bounds, in ENFSI's words."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from lir.algorithms.bayeserror import elub
from lir.algorithms.logistic_regression import LogitCalibrator

from metav_audit.errors import BundleError
from metav_audit.statistics import NEUTRAL, WeightTable, fit_weight, log_odds, ratio_text, verbal, weigh_held_out
from metav_audit.statistics.ratios import USUAL_RATIOS, find_bounds, fit_line

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array)
OFF_THE_GRID = st.lists(st.integers(-1200, 1200).map(lambda step: (step + 0.37) / 100), min_size=1, max_size=40)
"""log10 LRs that no rounding moves across a threshold."""


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values)))


def drawn(seed, gap, spread=4.0, derived=40, independent=40):
    """Scores of both sides, ``gap`` apart in log-odds."""
    rng = np.random.default_rng(seed)
    return sigmoid(gap / 2 + spread * rng.normal(size=derived)), sigmoid(
        -gap / 2 + spread * rng.normal(size=independent)
    )


def by_lir(derived, independent):
    """lir's own LRs of both sides, its line at the log-odds 0 and 1, and its bounds."""
    inputs = np.concatenate([log_odds(derived), log_odds(independent)])
    labels = np.repeat([1, 0], [len(derived), len(independent)])
    calibrator = LogitCalibrator(tol=1e-10, max_iter=10_000).fit(inputs.reshape(-1, 1), labels)
    ratios = calibrator.transform(inputs.reshape(-1, 1)).ravel()
    return ratios, calibrator.transform(np.array([[0.0], [1.0]])).ravel(), elub(ratios.copy(), labels)


CASES = {
    "overlapping": drawn(0, 4),
    "usual": drawn(1, 14),
    "separated": drawn(2, 40, spread=2.0),
    "saturated": (np.ones(40), np.zeros(40)),
    "uneven": drawn(3, 8, derived=12, independent=60),
    "few": drawn(4, 6, derived=3, independent=2),
    "one each": (np.array([0.9]), np.array([0.2])),
}


@pytest.mark.parametrize("case", CASES)
def test_the_table_equals_lir_s_calibrator_and_bounder(case):
    """The line agrees to 1e-5 in log10 LR, the bounds to 1e-6, also where the scores separate or saturate."""
    derived, independent = CASES[case]
    ratios, ends, (low, high) = by_lir(derived, independent)
    slope, intercept = fit_line(log_odds(derived), log_odds(independent))
    assert [intercept, slope + intercept] == pytest.approx(ends, abs=1e-5)
    table = fit_weight(derived, independent)
    assert (table.low, table.high) == pytest.approx((low, high), abs=1e-6)
    bounded = np.clip(ratios, low, high)
    assert table.weigh(np.concatenate([derived, independent])) == pytest.approx(bounded, abs=1e-5)


@example([0.0137, -0.0063, 0.0537], [0.0037, 0.0037])
@given(OFF_THE_GRID, OFF_THE_GRID)
def test_bounds_equal_lir_s(derived, independent):
    """The empirical lower and upper bounds of any LRs, misleading ones too, are those of lir."""
    sides = np.array(derived), np.array(independent)
    labels = np.repeat([1, 0], [len(derived), len(independent)])
    # Where lir's grid misses the LR 1 by a rounding, lir overlooks what it says there.
    low, high = (math.floor(bound / 0.01) for bound in (min(*derived, *independent), max(*derived, *independent)))
    low, high = (
        max(low, math.floor(-math.log10(len(derived) + 1) / 0.01)),
        min(high, int(100 * math.log10(len(independent) + 1))),
    )
    low, high = min(0, low), max(0, high + 1)
    assume(0.0 in np.linspace(0.01 * low, 0.01 * high, high - low + 1))
    assert find_bounds(*sides) == pytest.approx(elub(np.concatenate(sides), labels), abs=1e-9)


@given(SCORES, SCORES, SCORES)
def test_a_ratio_never_leaves_what_the_lineages_can_bear(derived, independent, suspects):
    """LRs rise with the scores and stay within the bounds, and these within the numbers of lineages."""
    table = fit_weight(derived, independent)
    ratios = table.weigh(np.sort(suspects))
    assert (ratios >= table.low).all()
    assert (ratios <= table.high).all()
    assert (np.diff(ratios) >= 0).all()
    assert -math.log10(len(derived) + 1) - 0.02 <= table.low <= 0 <= table.high
    assert table.high <= math.log10(len(independent) + 1) + 0.02


def test_the_table_is_the_line_cut_at_its_bounds():
    """Between the points of the table nothing is lost."""
    derived, independent = CASES["usual"]
    table = fit_weight(derived, independent)
    slope, intercept = fit_line(log_odds(derived), log_odds(independent))
    scores = sigmoid(np.linspace(-USUAL_RATIOS.edge, USUAL_RATIOS.edge, 2001))
    expected = np.clip(slope * log_odds(scores) + intercept, table.low, table.high)
    assert table.weigh(scores) == pytest.approx(expected, abs=1e-5)
    assert table.weigh([0.0, 1.0]) == pytest.approx(expected[[0, -1]], abs=1e-5)


def test_perfect_separation_is_no_certainty():
    """Forty lineages a side that never overlap bear an LR of some thirty-six, not of infinity."""
    table = fit_weight(*CASES["saturated"])
    assert 1.5 < table.high < math.log10(41)
    assert table.weigh([0.0, 1.0]).tolist() == [table.low, table.high]


def test_the_propositions_are_treated_alike():
    """Sides swapped and scores mirrored, every LR is its reciprocal."""
    derived, independent = drawn(5, 9)
    one, other = fit_weight(derived, independent), fit_weight(1 - independent, 1 - derived)
    scores = np.linspace(0.01, 0.99, 50)
    assert one.weigh(scores) == pytest.approx(-other.weigh(1 - scores), abs=0.011)


def test_the_sides_numbers_are_no_prior():
    """Three times as many independents of the same scores shift no LR by more than the ridge's share."""
    derived, independent = drawn(6, 9)
    line = fit_line(log_odds(derived), log_odds(independent))
    crowd = fit_line(log_odds(derived), log_odds(np.tile(independent, 3)))
    assert crowd == pytest.approx(line, rel=0.05, abs=0.01)


def test_scores_that_speak_against_their_own_side_tell_nothing():
    """Where derived lineages score lower than independent ones, every LR is 1."""
    table = fit_weight(np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.8, 0.9]))
    assert table.weigh([0.0, 0.5, 1.0]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("sides", [([], [0.1]), ([0.9], []), ([], [])])
def test_without_a_lineage_on_a_side_every_ratio_is_one(sides):
    """There is nothing to compare with."""
    assert fit_weight(*map(np.array, sides)) == NEUTRAL
    assert NEUTRAL.weigh([0.0, 1.0]).tolist() == [0.0, 0.0]


def test_held_out_lineages_are_weighed_by_the_others():
    """Each LR is that of a table that never saw the lineage."""
    derived, independent = drawn(7, 6, derived=5, independent=4)
    mine, theirs = weigh_held_out(derived, independent)
    assert mine[2] == fit_weight(derived[[0, 1, 3, 4]], independent).weigh(derived[2])
    assert theirs[3] == fit_weight(derived, independent[:3]).weigh(independent[3])
    assert (len(mine), len(theirs)) == (5, 4)


def test_a_table_survives_json():
    """asdict and from_json are inverse, through JSON text."""
    table = fit_weight(*CASES["usual"])
    assert WeightTable.from_json(json.loads(json.dumps(asdict(table)))) == table


@pytest.mark.parametrize(
    "fields",
    [
        {"log_odds": (1.0, -1.0)},
        {"log_odds": (1.0, 1.0)},
        {"log_odds": (1.0,)},
        {"log_odds": (), "log10_lr": ()},
        {"log10_lr": (0.5, -0.5)},
        {"low": -0.4},
        {"high": 0.4},
        {"high": float("inf")},
        {"log_odds": (float("nan"), 1.0)},
        {"low": 0.1, "log10_lr": (0.2, 0.5)},
        {"high": -0.1, "log10_lr": (-0.5, -0.2)},
    ],
)
def test_a_table_that_falls_or_leaves_its_bounds_is_refused(fields):
    """No LR beyond the bounds, and none that falls while the score rises, can stand in a bundle."""
    whole = {"log_odds": (-1.0, 1.0), "log10_lr": (-0.5, 0.5), "low": -1.0, "high": 1.0}
    WeightTable(**whole)
    with pytest.raises(BundleError, match="table of likelihood ratios"):
        WeightTable(**{**whole, **fields})


def test_the_difference_of_two_tables_is_the_largest_anywhere():
    """It is found at a point of either table, or in a bound."""
    one = WeightTable((-2.0, 2.0), (-1.0, 1.0), -1.0, 1.0)
    bent = WeightTable((-2.0, 0.5, 2.0), (-1.0, 0.0, 1.0), -1.0, 1.0)
    wider = WeightTable((-2.0, 2.0), (-1.0, 1.0), -1.0, 3.0)
    assert one.difference(one) == 0
    assert one.difference(bent) == bent.difference(one) == pytest.approx(0.25)
    assert one.difference(wider) == 2.0


@pytest.mark.parametrize(
    ("log10_lr", "words"),
    [
        (0.0, "no support for either proposition"),
        (0.3, "weak support for derivation"),
        (1.0, "weak support for derivation"),
        (1.01, "moderate support for derivation"),
        (2.5, "moderately strong support for derivation"),
        (4.0, "strong support for derivation"),
        (5.9, "very strong support for derivation"),
        (6.1, "extremely strong support for derivation"),
        (-0.3, "weak support for independence"),
        (-1.6, "moderate support for independence"),
        (-7.0, "extremely strong support for independence"),
    ],
)
def test_words_are_those_of_enfsi(log10_lr, words):
    """The scale of 2015, for either proposition; a border belongs to the weaker word."""
    assert verbal(log10_lr) == words


@pytest.mark.parametrize(
    ("log10_lr", "text"), [(0.0, "1"), (1.55, "35"), (-1.55, "1/35"), (0.4, "2.5"), (4.5, "31,623"), (-0.001, "1")]
)
def test_ratios_are_written_for_readers(log10_lr, text):
    """Two digits below ten, whole numbers above, fractions below one."""
    assert ratio_text(log10_lr) == text
