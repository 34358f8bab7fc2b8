"""Looking several times names few of all members, whatever they show, and the first no oftener than its share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.statistics import place_over, quota_of
from metav_audit.statistics.looks import stands_out
from tests.bench.looks import drawn, named_at

NUMBERS = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 5.0, 40.0]), min_size=5, max_size=5)


@given(st.lists(NUMBERS, min_size=1, max_size=4), st.integers(0, 3), st.floats(0, 3))
def test_of_all_members_at_most_the_quota_is_ever_named(looks, quota, clear):
    """Each plays the suspect in turn, ties and all: over all looks no more of them than the quota allow are named."""
    members = np.array(looks)
    named = 0
    for player in range(members.shape[1]):
        order = [player, *(other for other in range(members.shape[1]) if other != player)]
        mine = members[:, order]
        at_any = [place_over(mine[: at + 1], quota, clear, last=at + 1 == len(mine)) for at in range(len(mine))]
        named += any(found and place <= quota for place, found in at_any)
        places = [place for place, found in at_any if found]
        assert len(set(places)) <= 1
    assert named <= quota


@given(NUMBERS, st.integers(0, 5))
def test_one_look_gives_the_usual_rank(values, quota):
    """Whoever looks once is told what a rank always said."""
    place, named = place_over(np.array([values]), quota, 0.5, last=True)
    assert place == 1 + sum(other >= values[0] for other in values[1:])
    assert named is (place <= quota)


def test_two_that_lead_together_do_not_stand_out():
    """A tie names nobody; nor is there a leader among two."""
    assert stands_out(np.array([1.0, 2.0, 5.0, 5.0]))[1] == 0
    assert stands_out(np.array([1.0, 5.0])) == (0, 0.0)


@pytest.mark.parametrize("kind", ["independent", "thief of a sibling"])
def test_simulated_innocents_are_accused_as_seldom_as_promised(kind):
    """A thousand of a kind; the bench has more. Each of the uncorrected looks alone would double it."""
    rng, looks, models = np.random.default_rng(1), (4, 8, 16), 20
    found = [drawn(rng, kind, models, looks) for _ in range(1000)]
    assert sum(named_at(each, 0.05, 0.5) is not None for each in found) <= 75
    assert quota_of(0.05, models) == 1
