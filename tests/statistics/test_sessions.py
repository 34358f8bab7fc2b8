"""Sessions ranked among each other: what is new, and how rare that is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.statistics import session_p_value, unseen_answers
from metav_audit.statistics.sessions import distances


def test_sessions_that_agree_have_nothing_new():
    """However many there are; the p-value is 1."""
    answers = np.zeros((6, 8, 3))
    assert not unseen_answers(answers, 1e-5).any()
    assert session_p_value(np.zeros(6)) == 1.0


def test_an_answer_is_new_beyond_the_widest_gap_of_the_others():
    """Three times as far as the others lie from their nearest: noise is no news."""
    answers = np.array([0.0, 0.1, 0.2, 0.3, 0.59, 0.61]).reshape(6, 1, 1)
    apart = unseen_answers(answers[:5], 1e-5)[-1, 0], unseen_answers(answers[[0, 1, 2, 3, 5]], 1e-5)[-1, 0]
    assert apart == (False, True)


def test_what_was_not_answered_is_neither_new_nor_a_neighbour():
    """Missing answers count for no one."""
    answers = np.zeros((5, 2, 1))
    answers[4, 0] = np.nan
    answers[3, 1] = 7.0
    unseen = unseen_answers(answers, 1e-5)
    assert not unseen[4].any()
    assert unseen[3].tolist() == [False, True]


def test_another_label_alone_is_infinitely_far():
    """Where only labels are shown, there is nothing between two of them."""
    labels = np.full((4, 1, 2), np.nan)
    labels[:3, 0, 0], labels[3, 0, 1] = 1.0, 1.0
    assert np.isinf(distances(labels)[0, 3, 0])
    assert unseen_answers(labels, 1e-5)[:, 0].tolist() == [False, False, False, True]


@given(st.integers(0, 2**32 - 1), st.integers(5, 12), st.sampled_from([0.0, 0.02, 0.3]))
def test_the_last_of_honest_sessions_stands_out_no_more_often_than_any(seed, count, noise):
    """The rule treats all alike: in another order the same sessions have the same answers that are new."""
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 2, (count, 6, 1)) * (rng.uniform(size=(count, 6, 1)) < 0.1) + noise * rng.normal(
        size=(count, 6, 1)
    )
    order = rng.permutation(count)
    assert (unseen_answers(answers, 1e-5)[order] == unseen_answers(answers[order], 1e-5)).all()


@pytest.mark.parametrize("drift", [0.0, 0.05, 0.2])
def test_false_alarms_are_no_more_than_one_in_the_sessions(drift):
    """Of hosts that answer some inputs otherwise from session to session: strictly first in at most 1 of S + 1."""
    rng, first = np.random.default_rng(3), 0
    for _ in range(400):
        odd = (rng.uniform(size=(6, 16, 1)) < drift).astype(float)
        shares = unseen_answers(odd, 1e-5).mean(axis=1)
        first += shares[-1] > shares[:-1].max()
    assert first / 400 <= 1 / 6 + 3 * (5 / 36 / 400) ** 0.5
