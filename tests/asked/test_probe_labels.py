"""Labels are matched by name, by number, or by what they are given for; what nothing bears out is not guessed."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.audit.probe.found import toml
from metav_audit.audit.probe.labels import matchings
from metav_audit.audit.probe.search import asking_order
from metav_audit.task import Features

LABELS = ("cat", "dog", "hen", "owl")


def answers(tops, classes=4, top=0.9):
    """Features of answers with these likeliest labels, and the target's own."""
    shares = np.full((len(tops), classes), (1 - top) / (classes - 1))
    shares[np.arange(len(tops)), list(tops)] = top
    return Features(np.log(shares).astype(np.float32), np.ones(shares.shape, bool)), np.log(shares)


def best(remote, tops, order=(0, 1, 2, 3)):
    """The best matching of an API's labels, which are the task's in another order."""
    shown, reference = answers(tops, len(order))
    moved = Features(shown.values[:, list(order)], shown.mask)
    return max(matchings(moved, remote, LABELS[: len(order)], reference), key=lambda each: each.share)


@pytest.mark.parametrize(
    ("remote", "by", "places"),
    [
        (("Cat", "DOG", "hen ", "o_w_l"), "name", (0, 1, 2, 3)),
        (("0", "1", "2", "3"), "number", (0, 1, 2, 3)),
        (("LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"), "number", (0, 1, 2, 3)),
        (("kitty", "pup", "chick", "hoot"), "agreement", (0, 1, 2, 3)),
        (None, "order", (0, 1, 2, 3)),
    ],
)
def test_labels_are_matched_by_what_tells_most(remote, by, places):
    """Names in any spelling, numbers from 0 or 1, and else the inputs that they are given for."""
    found = best(remote, [0, 1, 2, 3, 0, 1, 2, 3])
    assert (found.by, found.places, found.share) == (by, places, 1.0)


def test_a_bare_list_in_another_order_is_found():
    """Each answer is judged by the order that the others give."""
    found = best(None, [0, 1, 2, 3, 0, 1, 2, 3], order=(2, 0, 3, 1))
    assert (found.by, found.places, found.told, found.right, found.unsure) == ("agreement", (2, 0, 3, 1), 8, 8, ())


def test_a_map_needs_inputs_that_bear_it_out():
    """One input a label tells nothing; labels without an input are unsure, but for one that is left alone."""
    assert best(("a", "b", "c", "d"), [0, 1, 2, 3]).told == 0
    assert set(best(("a", "b", "c", "d"), [0, 0, 1, 1]).unsure) == {2, 3}
    assert best(("a", "b", "c", "d"), [0, 0, 1, 1, 2, 2]).unsure == ()


def test_one_answer_for_all_bears_nothing_out():
    """As right as a constant is not right at all."""
    found = best(LABELS, [0, 0, 0, 1])
    shown, reference = answers([0, 0, 0, 0])
    constant = next(matchings(shown, LABELS, LABELS, answers([0, 0, 0, 1])[1]))
    assert (constant.right, constant.constant) == (3, 3)
    assert found.right > found.constant
    assert len(reference) == 4


@pytest.mark.timeout(60)
def test_a_thousand_labels_end():
    """Neither a task with many labels nor an API that shows thousands holds the search up."""
    rng = np.random.default_rng(0)
    shown, reference = answers(range(12), 1000)
    for remote in (None, tuple(f"n{number:08x}" for number in rng.permutation(1000))):
        list(matchings(shown, remote, tuple(f"class {number}" for number in range(1000)), reference))


def test_inputs_are_asked_so_that_they_tell_early():
    """Two labels, the first again, then each in turn; each input once."""
    reference = np.eye(4)[[3, 3, 3, 1, 1, 0, 2]]
    order = asking_order(reference)
    assert sorted(order) == list(range(7))
    assert reference[order[:3]].argmax(axis=1).tolist() == [3, 1, 3]


VALUES = st.recursive(
    st.text() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_whatever_is_written_as_toml_reads_as_it_was(value):
    """Any text, key or number, in ASCII; surrogates alone, which no text may hold, become another character."""
    written = toml(value)
    assert written.isascii()
    assert written.isprintable()
    assert tomllib.loads(f"x = {written}")["x"] == value
