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
        ("nearly reproduced", "much closer to it than any two siblings are to each other"),
        ("claimed", "made the target is claimed, the owner's word"),
        ("anything else", "made the target is claimed, the owner's word"),
    ],
)
def test_what_is_proven_is_told_from_what_is_claimed(status, words):
    """A status that no replay gives is a claim."""
    assert told(status=status).startswith("exact for any suspect that came to be without the target, if the siblings")
    assert words in told(status=status)


@pytest.mark.parametrize("training", [None, "program", 3, []])
def test_a_provenance_that_says_nothing_claims_nothing(training):
    """Whatever stands there."""
    said = guarantee_of(dataclasses.replace(BUNDLE, provenance={"training": training}))
    assert "claimed" in said
    assert said.endswith("the owner does not state whether the target was tuned from an older model")


def test_the_ancestor_is_named():
    """By its hash, cut to a hash's length, or as none."""
    assert told(ancestor="none").endswith("; the target was trained from random weights, says the owner")
    assert told(ancestor="ab" * 32).endswith(f"tuned from the weights {'ab' * 32}, says the owner")
    assert len(told(ancestor="x" * 10_000)) < 600


def test_a_shared_start_of_the_run_is_named():
    """The promise is then about what came after it."""
    assert told(ancestor="none", checkpoint="cd" * 32).endswith("from what else might have come of that checkpoint")
