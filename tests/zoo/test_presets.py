"""Plans of a zoo: lineages, splits, twins and seeds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.bundle import ErrorRates
from metav_audit.errors import ConfigurationError
from metav_audit.task import OutputKind
from metav_audit.zoo.build import address_of
from metav_audit.zoo.plan import TARGET, Split
from metav_audit.zoo.presets import DERIVED_RECIPES, PRESETS, plan_zoo
from metav_audit.zoo.store import content_address

ARCHITECTURES = ("mlp-small", "cnn-small", "cnn-deep")
PLANS = st.builds(
    plan_zoo,
    st.sampled_from(["quick", "standard", "full"]),
    st.lists(st.sampled_from(ARCHITECTURES), min_size=1, max_size=3, unique=True),
    st.integers(0, 2**53 - 1),
)


@settings(max_examples=20)
@given(st.sampled_from(["quick", "standard", "full"]), st.integers(0, 2**53 - 1))
def test_the_same_arguments_give_the_same_plans(preset, seed):
    """A plan depends on nothing but preset, architectures and seed, and another seed gives another plan."""
    assert plan_zoo(preset, ARCHITECTURES, seed) == plan_zoo(preset, ARCHITECTURES, seed)
    assert plan_zoo(preset, ARCHITECTURES, seed) != plan_zoo(preset, ARCHITECTURES, seed + 1)


@settings(max_examples=20)
@given(PLANS)
def test_a_lineage_lies_in_one_split_whole(plans):
    """No lineage has members in two splits, or on two sides."""
    places = {(plan.lineage, plan.split, plan.derived) for plan in plans}
    assert len(places) == len({plan.lineage for plan in plans})
    assert all(plan.parent is None or plan.parent.lineage == plan.lineage for plan in plans)


@settings(max_examples=20)
@given(PLANS)
def test_no_model_stands_in_two_splits(plans):
    """Addresses and seeds are all distinct, so that no split sees another's models."""
    assert max(Counter(address_of(plan, "context") for plan in plans).values()) == 1
    assert max(Counter(plan.seed for plan in plans).values()) == 1


@settings(max_examples=20)
@given(PLANS)
def test_a_twin_is_made_from_an_independent_of_its_lineage(plans):
    """Twins are independent, share lineage and split with their root, and their root is in the zoo."""
    twins = [plan for plan in plans if plan.parent and not plan.derived]
    assert twins
    for twin in twins:
        assert twin.parent in plans
        assert not twin.derived
        assert (twin.lineage, twin.split) == (twin.parent.lineage, twin.parent.split)
        assert twin.depth == twin.parent.depth + 1
        assert twin.recipe != "train"


@pytest.mark.parametrize("preset", ["quick", "standard", "full"])
def test_the_sizes_are_those_of_the_preset(preset):
    """Lineages of each side, and twins, are as many as the preset says."""
    plans, sizes = plan_zoo(preset, ARCHITECTURES, 0), PRESETS[preset]
    for split in Split:
        inside = [plan for plan in plans if plan.split is split and "stop" not in plan.settings]
        roots = [plan for plan in inside if not plan.derived and not plan.parent]
        assert len({plan.lineage for plan in inside if plan.derived}) == sizes.derived[split]
        assert len(roots) == sizes.independent[split]
        twins = {plan.lineage for plan in inside if plan.parent and not plan.derived}
        assert len(twins) == round(len(roots) * sizes.twins[split])


@pytest.mark.parametrize(("rate", "independents"), [(0.05, 40), (0.025, 40), (0.01, 120), (0.001, 1200)])
def test_the_calibration_is_large_enough_for_the_promised_rate(rate, independents):
    """A rate that the preset's lineages cannot bear gets as many as it needs, and a fifth more."""
    plans = plan_zoo("quick", ARCHITECTURES, 0, rates=ErrorRates(rate, 0.05))
    sides = [
        {plan.lineage for plan in plans if plan.split is Split.CALIBRATION and plan.derived is derived}
        for derived in (True, False)
    ]
    assert list(map(len, sides)) == [40, independents]


def test_checkpoints_enlarge_the_fit_split_alone():
    """A scarce zoo has one trained model a side to fit with, and six checkpoints of each, in its own lineage."""
    plans = [plan for plan in plan_zoo("scarce", ARCHITECTURES, 0) if plan.split is Split.FIT]
    trained = [plan for plan in plans if "stop" not in plan.settings]
    assert [plan.derived for plan in trained] == [True, False]
    assert len(plans) == 14
    assert len({plan.lineage for plan in plans}) == 2
    standard = set(map(repr, plan_zoo("standard", ARCHITECTURES, 0)))
    others = [plan for plan in plan_zoo("scarce", ARCHITECTURES, 0) if plan.split is not Split.FIT]
    assert others
    assert {repr(plan) for plan in others} <= standard


@pytest.mark.parametrize("split", ["fit", "calibration", "test"])
def test_every_split_holds_every_recipe_and_the_hard_independents(split):
    """Both sides have all modifications; independents of the target's own architecture saw either data."""
    inside = [plan for plan in plan_zoo("standard", ARCHITECTURES, 3) if plan.split == split]
    recipes = {"distill" if recipe == "distill-other" else recipe for recipe in DERIVED_RECIPES}
    roots = [plan for plan in inside if not plan.derived and not plan.parent]
    assert {plan.recipe for plan in inside if plan.derived} == recipes
    assert {plan.recipe for plan in inside if plan.parent} == recipes
    assert {(plan.architecture, plan.data) for plan in roots} >= {(TARGET, "train"), (TARGET, "heldout")}
    assert {plan.data for plan in inside if plan.derived} == {"heldout"}
    assert {plan.architecture for plan in inside if plan.recipe == "distill" and plan.derived} > {TARGET}


@pytest.mark.parametrize(
    ("preset", "architectures", "said"),
    [("enormous", ARCHITECTURES, "use one of quick, standard"), ("quick", (), "at least one architecture")],
)
def test_impossible_plans_are_refused(preset, architectures, said):
    """An unknown preset or no architecture is a configuration error."""
    with pytest.raises(ConfigurationError, match=said):
        plan_zoo(preset, architectures, 0)


def test_the_address_follows_everything_that_decides_the_weights():
    """Seed, data and context change a model's address; names of lineage and split do not."""
    from dataclasses import replace

    plan = plan_zoo("quick", ARCHITECTURES, 0)[0]
    address = address_of(plan, "context")
    assert address_of(replace(plan, lineage="x", split=Split.TEST), "context") == address
    assert address_of(replace(plan, seed=plan.seed + 1), "context") != address
    assert address_of(replace(plan, data="train"), "context") != address
    assert address_of(plan, "another") != address


def test_no_two_lineages_of_a_zoo_are_pruned_alike():
    """Pruning the target has no chance in it but its ratio, so every ratio of a zoo is its own."""
    for seed in range(20):
        ratios = [
            plan.settings["ratio"] for plan in plan_zoo("standard", ["mlp-small"], seed) if plan.recipe == "prune"
        ]
        assert len(set(ratios)) == len(ratios)


@pytest.mark.parametrize("split", ["fit", "calibration", "test"])
def test_the_full_zoo_has_every_family_on_both_sides(split):
    """Each recipe has derived lineages in each split, and in the fit split a twin as well; descendants stand beside
    the models that they come from."""
    inside = [plan for plan in plan_zoo("full", ARCHITECTURES, 3) if plan.split == split]
    families = {plan.recipe for plan in inside if plan.derived}
    assert {"extract-hard", "extract-ood", "quantise", "noise", "average", "filter-prune"} <= families
    assert all(plan.parent in inside for plan in inside if plan.parent)
    assert any(plan.derived and plan.parent for plan in inside)
    if split == "fit":
        assert {plan.recipe for plan in inside if plan.parent and not plan.derived} >= families
    roots = [plan for plan in inside if not plan.derived and not plan.parent]
    assert {plan.recipe for plan in roots} == {"train", "adversarial-train"}
    hardened = {(plan.architecture == TARGET, plan.data) for plan in roots if plan.recipe == "adversarial-train"}
    assert hardened == {(own, data) for own in (True, False) for data in ("train", "heldout")}


def test_a_regression_s_zoo_has_no_recipe_that_needs_labels():
    """Neither hard labels nor a removal, and as many lineages as before."""
    plans = plan_zoo("full", ARCHITECTURES, 3, OutputKind.REGRESSION)
    assert not {plan.recipe for plan in plans} & {"extract-hard", "removal"}
    assert len({plan.lineage for plan in plans}) == len({plan.lineage for plan in plan_zoo("full", ARCHITECTURES, 3)})


SEEDS = (0, 7, 2**53 - 1)
FROZEN = {
    ("quick", tuple(OutputKind)): ("e5e0bf2f3496ca1b", "565711ed3ec8bcd7", "e9cacd884e11a07b"),
    ("standard", tuple(OutputKind)): ("b97da728e03af7cf", "3679da2c39fabf4e", "e6ed96ff274290bb"),
    ("scarce", tuple(OutputKind)): ("38e8817bd6a4d035", "f42383549e4473d7", "780a4f8273d2ebdd"),
    ("full", (OutputKind.CLASSIFICATION,)): ("4de263057538160f", "b10314bae0160c9d", "a24ddfb043734f8f"),
    ("full", (OutputKind.REGRESSION,)): ("b5d70670234d2fde", "cc975c80f50d8923", "7dde058f3c8bc050"),
    ("full", (OutputKind.GENERATION,)): ("2da278dd567eec56", "e128ad8e8f510576", "6afb1e2b8001f308"),
}
"""By preset and kinds, the beginning of the address of all plans with each seed, before recipes were files."""


@pytest.mark.parametrize(("preset", "kinds"), FROZEN)
def test_stored_zoos_stay_valid(preset, kinds):
    """Every plan of the product's presets, its settings and so its content address, is what it was."""
    for kind in kinds:
        plans = [plan_zoo(preset, ARCHITECTURES, seed, kind) for seed in SEEDS]
        addresses = [content_address([plan.making() for plan in each])[:16] for each in plans]
        assert tuple(addresses) == FROZEN[preset, kinds]
