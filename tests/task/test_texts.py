"""Texts: passages, and how like they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task.texts import Passage, Shows, TextDomain, check_text, likenesses, passages

DOMAIN = TextDomain(Shows.TEXT, 2)


@given(st.text(max_size=40), st.lists(st.text(max_size=20), min_size=1, max_size=5), st.randoms())
def test_likeness_knows_no_order(text, others, chance):
    """Which of them was served cannot show in it; it is never below 0, and finite."""
    order = list(range(len(others)))
    chance.shuffle(order)
    found = likenesses(text, others)
    assert likenesses(text, [others[at] for at in order]) == [found[at] for at in order]
    assert all(0 <= each < 1e6 for each in found)


def test_a_text_is_most_like_itself():
    """And runs of words that few have weigh most."""
    others = ["the cat sat on the mat", "the dog sat on the rug", "the bird sang"]
    assert np.argmax(likenesses(others[1], others)) == 1


def test_passages_are_checked():
    """Their number of continuations, their texts, and that there are any."""
    good = passages([Passage("a", "", ("b", "c"))])
    assert DOMAIN.check(good, "it") is good
    assert len(DOMAIN.check(DOMAIN.project(DOMAIN.clip(DOMAIN.sample(3, np.random.default_rng(0)))), "it")) == 3
    for bad in (passages([]), passages([Passage("a", "", ("b",))]), passages([Passage("", "", ("b", "c"))]),
                passages([Passage("a", "\ud800", ("b", "c"))]), np.zeros((2, 2))):  # fmt: skip
        with pytest.raises(DataError):
            DOMAIN.check(bad, "it")


def test_a_domain_says_what_it_is():
    """Its own description is read back; one continuation has nothing to be held against."""
    assert TextDomain.from_json({name: value for name, value in DOMAIN.to_json().items() if name != "kind"}) == DOMAIN
    with pytest.raises(ConfigurationError):
        TextDomain(Shows.TEXT, 1)
    with pytest.raises(DataError, match="no text"):
        check_text(3)
