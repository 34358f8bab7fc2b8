"""The plots of evaluations and reports: what is drawn, and that the same values give the same bytes."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.statistics import pav_plot, robustness_plot, tippett_plot
from metav_audit.statistics.plots import survival

DERIVED, INDEPENDENT = np.array([-0.5, 0.2, 1.5, 1.5]), np.array([-1.5, -1.2, 0.3])


@given(st.lists(st.integers(-5, 5), min_size=1))
def test_survival_is_a_plain_count(values):
    """At each value, the share of all that are at least as high."""
    places, shares = survival(np.array(values, dtype=float))
    assert places.tolist() == sorted(set(values))
    assert shares.tolist() == [sum(other >= place for other in values) / len(values) for place in places]


@pytest.mark.parametrize("draw", [tippett_plot, pav_plot])
def test_the_same_values_give_the_same_figure(draw):
    """An SVG with both sides named, and a PNG, the same each time."""
    svg = draw(DERIVED, INDEPENDENT, "svg")
    texts = {element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"derived", "independent", "log10 LR"} <= texts
    assert draw(DERIVED, INDEPENDENT, "svg") == svg
    assert draw(DERIVED, INDEPENDENT, "png").startswith(b"\x89PNG")
    assert draw(DERIVED, INDEPENDENT, "png") == draw(DERIVED, INDEPENDENT, "png")
    assert draw(INDEPENDENT, DERIVED, "svg") != svg


def test_robustness_and_uniqueness_are_drawn_over_the_threshold():
    """Both curves are named, the same scores give the same bytes, and other scores others."""
    sides = np.array([0.9, 0.8, 0.3]), np.array([0.1, 0.2])
    svg = robustness_plot(*sides, "svg")
    texts = {element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"robustness", "uniqueness", "threshold of the score"} <= texts
    assert robustness_plot(*sides, "svg") == svg
    assert robustness_plot(sides[0], np.array([0.1, 0.5]), "svg") != svg
    assert robustness_plot(*sides, "png").startswith(b"\x89PNG")
