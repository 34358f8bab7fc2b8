"""Surrogates: what a bundle remembers of them, and whose kin they are."""

from __future__ import annotations

import pytest

from metav_audit.zoo.presets import plan_zoo
from metav_audit.zoo.surrogates import DESCENDANT, Surrogate

SURROGATES = [Surrogate(plan, "address", 0.9) for plan in plan_zoo("full", ("mlp-small", "cnn-small"), 3)]
TWINS = [one for one in SURROGATES if one.plan.parent and not one.plan.derived]
COPIES_OF_COPIES = [one for one in SURROGATES if one.plan.parent and one.plan.derived]
OTHERS = [one for one in SURROGATES if not one.plan.parent]


@pytest.mark.parametrize("some", [TWINS, COPIES_OF_COPIES, OTHERS], ids=["twins", "copies of copies", "others"])
def test_only_a_twin_names_what_it_is_the_twin_of(some):
    """The recipe that modified an independent stands on the card as a field; nothing else has such."""
    assert some
    for one in some:
        assert one.card.twin_of == (one.plan.recipe if some is TWINS else None)


def test_a_copy_of_a_copy_is_of_its_own_family_and_leaves_with_either_maker():
    """It is a descendant, whatever made it, and kin of the families of both its makers."""
    for one in COPIES_OF_COPIES:
        assert one.card.family == DESCENDANT
        assert one.families == {DESCENDANT, one.plan.family, one.plan.parent.family}


def test_a_twin_is_of_the_family_of_its_recipe_and_not_of_its_root_s():
    """What is left out with "distill" are distillates of either side, not every training from scratch."""
    for one in [*TWINS, *OTHERS]:
        assert one.families == {one.card.family} == {one.plan.family}
    assert "train" not in {one.card.family for one in TWINS}
