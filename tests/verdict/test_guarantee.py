"""What a promise rests on, in words, from what the bundle says of its making."""

from __future__ import annotations

import dataclasses

import pytest

from metav_audit.verdict.guarantee import guarantee_of
from tests.builders import make_bundle, make_siblings_bundle

BUNDLE = make_siblings_bundle()


def told(**training):
    return guarantee_of(dataclasses.replace(BUNDLE, provenance={"training": training}))


def test_without_siblings_it_holds_for_suspects_like_the_zoo_s():
    """And claims no more."""
    assert guarantee_of(make_bundle()) == "holds for suspects like the zoo's"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("reproduced", "gave the target again"),
        ("nearly reproduced", "far nearer to the target than any sibling is to another"),
        ("claimed", "the training program is claimed"),
        ("anything else", "the training program is claimed"),
    ],
)
def test_what_is_proven_is_told_from_what_is_claimed(status, words):
    """A status that no replay gives is a claim."""
    assert told(status=status).startswith("exact for any suspect; ")
    assert words in told(status=status)


@pytest.mark.parametrize("training", [None, "program", 3, []])
def test_a_provenance_that_says_nothing_claims_nothing(training):
    """Whatever stands there."""
    said = guarantee_of(dataclasses.replace(BUNDLE, provenance={"training": training}))
    assert "claimed" in said
    assert said.endswith("whether it was tuned from an older model is not stated")


def test_the_ancestor_is_named():
    """By its hash, cut to a hash's length, or as none."""
    assert told(ancestor="none").endswith("; trained from random weights")
    assert told(ancestor="ab" * 32).endswith(f"; tuned from the weights {'ab' * 32}")
    assert len(told(ancestor="x" * 10_000)) < 400
