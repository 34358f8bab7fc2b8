"""What is shown and asked, what is left out, and the tables that compare."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metav_audit.bundle import MANIFEST, FingerprintBundle
from metav_audit.cli import evaluate as command
from metav_audit.errors import ConfigurationError
from metav_audit.evaluation import comparisons
from metav_audit.evaluation.conditions import USUAL, VIEWS, Condition, check_conditions, conditions_of
from metav_audit.evaluation.heldout import HeldOut, evaluate_held_out, without
from metav_audit.evaluation.run import evaluate_project, keep_bundle, score_test_split
from metav_audit.evaluation.tables import as_text
from metav_audit.statistics import mean_interval, roc_auc
from metav_audit.task import Features, Quantities, TaskSpec
from metav_audit.task.domains import LatentDomain
from metav_audit.task.outputs import Quantity
from metav_audit.verdict import Scored, VerdictOutcome, calibration_scores, judge
from metav_audit.zoo.plan import Split
from metav_audit.zoo.recipes.registry import RECIPES

REGRESSION = TaskSpec(LatentDomain(2), Quantities((Quantity("dose", 0.0, 1.0),)))


def test_sister_recipes_are_one_family():
    """Tuning, retraining, pruning and distillation each, twins among them; any other recipe is a family of its own."""
    recipes = ("fine-tune-last", "filter-prune", "prune-tune", "distill", "extract-ood", "noise", "train")
    families = ["fine-tune", "prune", "prune", "distill", "distill", "noise", "train"]
    assert [RECIPES[recipe].family for recipe in recipes] == families


@pytest.mark.parametrize("family", ["distill", "prune"])
def test_a_family_is_left_out_with_its_twins(toy, family):
    """Fit and calibration hold none of it, all of the others, and the test split stays whole."""
    rest = without(toy.zoo, HeldOut.FAMILY, family)
    gone = [one for one in toy.zoo.surrogates if one not in rest.surrogates]
    assert {one.card.family for one in gone} == {family}
    assert {one.card.derived for one in gone} == {True, False}
    assert Split.TEST not in {one.plan.split for one in gone}
    assert all(one.plan.split is Split.TEST for one in rest.surrogates if one.card.family == family)


def test_an_architecture_is_left_out_but_for_derived_models_of_the_target_s_own(toy):
    """Another architecture goes whole; of the target's own the independents go."""
    gone = {}
    for name in ("target", "mlp-small"):
        rest = without(toy.zoo, HeldOut.ARCHITECTURE, name).surrogates
        gone[name] = {one.card.derived for one in toy.zoo.surrogates if one not in rest}
    assert gone == {"target": {False}, "mlp-small": {True, False}}


@pytest.mark.parametrize("data", ["train", "heldout"])
def test_data_are_left_out_with_all_independents_trained_on_them(toy, data):
    """Fit and calibration lose these alone; tested are those of the test split, beside all derived models."""
    gone = [one for one in toy.zoo.surrogates if one not in without(toy.zoo, HeldOut.DATA, data).surrogates]
    assert {(one.card.derived, one.card.data) for one in gone} == {(False, data)}
    assert not {one.plan.split for one in gone} & {Split.TEST}


@pytest.fixture(scope="module")
def families(toy):
    """The toy project with one family after the other left out."""
    return evaluate_held_out(toy.workshop.project, ["metav", "random"], HeldOut.FAMILY, jobs=1)


def test_the_family_left_out_is_what_is_tested(toy, families):
    """Its derived models against all independents, with a bundle whose calibration knows none of it."""
    wanted = dict.fromkeys(one.card.family for one in toy.zoo.select(Split.TEST, derived=True))
    assert [one.left_out for one in families[::2]] == list(wanted)
    independents = len(toy.zoo.select(Split.TEST, derived=False))
    for one in families:
        assert {card.family for card in one.models if card.derived} == {one.left_out}
        assert len(one.side(derived=False)) == independents
        assert len(one.scores) == len(one.models) == len(one.outcomes)
    bundle = FingerprintBundle.load(toy.workshop.project.folder / "bundles" / "metav-without-distill.bundle")
    assert "distill" not in {card.family for card in bundle.calibration.models}


def test_an_interrupted_evaluation_goes_on_where_it_stopped(toy, families):
    """Bundles that stand are used again, and give the same scores."""
    path = toy.workshop.project.folder / "bundles" / "metav-without-distill.bundle" / MANIFEST
    stood = path.stat().st_mtime_ns
    again = evaluate_held_out(toy.workshop.project, ["metav"], HeldOut.FAMILY, jobs=1)
    assert path.stat().st_mtime_ns == stood
    assert all(np.array_equal(one.scores, two.scores) for one, two in zip(again, families[::2], strict=True))


def test_strangers_are_the_independents_of_the_architecture_left_out(toy):
    """All derived models are tested, and of independents those alone; lineages called a match are counted."""
    results = evaluate_held_out(toy.workshop.project, ["random"], HeldOut.ARCHITECTURE, jobs=1)
    for one in results:
        assert {card.architecture for card in one.models if not card.derived} == {one.left_out}
        assert len(one.side(derived=True)) == len(toy.zoo.select(Split.TEST, derived=True))
    rows = comparisons.stranger_rows(results)
    assert [row.label for row in rows] == [*(one.left_out for one in results), "all"]
    assert rows[-1].lineages == sum(row.lineages for row in rows[:-1])
    for row, one in zip(rows, results, strict=False):
        matched = {
            card.lineage
            for card, outcome in zip(one.models, one.outcomes, strict=True)
            if outcome is VerdictOutcome.MATCH and not card.derived
        }
        assert (row.wrong, row.figures["stated"]) == (len(matched), 0.2)


def test_views_and_numbers_of_queries_make_conditions():
    """The full view comes first, at the project's number and then at each other; names on the command line are all."""
    assert conditions_of([], []) == [USUAL]
    assert conditions_of(["label", "full"], [8]) == [
        USUAL, Condition("label"), Condition("full", 8), Condition("label", 8),
    ]  # fmt: skip
    assert tuple(VIEWS) == command.VIEWS


@pytest.mark.parametrize("view", ["top3", "label"])
def test_views_of_classes_are_refused_where_there_are_none(view):
    """Decimals can be seen of any output."""
    with pytest.raises(ConfigurationError, match=f"'{view}' is one of classes, and a regression has none"):
        check_conditions([USUAL, Condition(view)], REGRESSION)
    check_conditions([USUAL, Condition("2-decimals")], REGRESSION)


def test_a_view_is_that_of_test_and_calibration_models_alike(toy):
    """Scores and outcomes are those of an auditor who sees labels alone."""
    bundle = keep_bundle(toy.workshop, toy.zoo, "random")
    one = score_test_split(toy.workshop, toy.zoo, bundle, Condition("label"))
    full = score_test_split(toy.workshop, toy.zoo, bundle)
    assert np.array_equal(one.scores, full.scores)  # this method reads labels alone
    metav = keep_bundle(toy.workshop, toy.zoo, "metav")
    seen = score_test_split(toy.workshop, toy.zoo, metav, Condition("label"))
    held_out = calibration_scores(metav, VIEWS["label"])
    assert not np.array_equal(seen.scores, score_test_split(toy.workshop, toy.zoo, metav).scores)
    weight = held_out.fit_weight()
    scored = map(Scored, seen.scores.tolist())
    assert seen.outcomes == tuple(judge(each, held_out, metav.rates, weight).outcome for each in scored)
    own = Features(metav.calibration.features, np.ones(metav.calibration.features.shape, bool))
    shown = VIEWS["label"].apply(own, metav.task.output)
    assert np.array_equal(held_out.scores, metav.verifier.scores(shown.values, shown.mask))


def test_another_number_of_queries_is_another_bundle(toy):
    """It stands beside the project's own, which is not touched."""
    small = keep_bundle(toy.workshop, toy.zoo, "random", Condition(queries=2))
    assert len(small.inputs) == 2
    assert (toy.workshop.project.folder / "bundles" / "random-2.bundle" / MANIFEST).exists()
    assert len(keep_bundle(toy.workshop, toy.zoo, "random").inputs) == 6


@pytest.fixture(scope="module")
def pair(toy):
    """Two methods on the toy project, and the same as if on a second target, where the first is worse."""
    results = evaluate_project(toy.workshop.project, ["metav", "random"], conditions_of(["label"], []), jobs=1)
    other = [dataclasses.replace(one, project="other") for one in results]
    other[0] = dataclasses.replace(other[0], scores=1 - other[0].scores)
    return [*results, *other]


def test_methods_are_compared_in_pairs_over_targets(pair):
    """The mean of the differences and the half-width of its interval; one target is no pair."""
    (row,) = comparisons.pair_rows(pair)
    usual = [one for one in pair if one.condition == USUAL]
    aucs = [roc_auc(one.side(derived=True), one.side(derived=False)) for one in usual]
    mean, half = mean_interval(np.array([aucs[0] - aucs[1], aucs[2] - aucs[3]]))
    assert (row.label, row.method) == ("metav -", "random")
    assert (row.figures["AUC"], row.figures["± AUC"]) == (mean, half)
    assert comparisons.pair_rows(pair[:4]) == []


def test_each_condition_has_a_row_a_method(pair):
    """Means over targets, for every view."""
    rows = comparisons.condition_rows(pair)
    assert [(row.label, row.method) for row in rows] == [
        ("full", "metav"), ("full", "random"), ("label", "metav"), ("label", "random"),
    ]  # fmt: skip
    assert rows[0].figures["AUC"] == pytest.approx(0.5)
    assert comparisons.name_of(Condition("top3", 8)) == "top3, 8"


def test_what_was_left_out_has_a_row_and_all_together_the_worst(families):
    """A row a family with its mean and its worst target; then the mean of all and the worst of all."""
    other = [dataclasses.replace(one, project="other", scores=1 - one.scores) for one in families]
    rows = [row for row in comparisons.left_out_rows([*families, *other]) if row.method == "metav"]
    assert [row.label for row in rows] == [*(one.left_out for one in families[::2]), "all"]
    assert rows[-1].figures["AUC"] == pytest.approx(0.5)
    assert rows[-1].figures["min"] == min(row.figures["min"] for row in rows[:-1])


def test_comparing_tables_fit_a_terminal(pair, families):
    """They have at most 80 columns, and only those that say something are given."""
    tables = comparisons.all_rows(pair, {"family": families, "architecture": families})
    assert [rows[0].head for rows in tables] == [
        "target", "target", "stratum", "stratum", "less", "shown", "left out", "left out", "left out",
    ]  # fmt: skip
    assert max(len(line) for rows in tables for line in as_text(rows).splitlines()) <= 80
    usual = [one for one in pair if one.condition == USUAL]
    assert len(comparisons.all_rows(usual, {})) == 5
