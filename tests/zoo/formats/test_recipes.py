"""Recipes that need no gradients, one by one: what they make, of classes and of values, and that it can be stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metav_audit.errors import ConfigurationError
from metav_audit.task import ClassScores, OutputKind, Quantities, TaskSpec
from metav_audit.task.outputs import Quantity
from metav_audit.zoo.data import LabelledData, OwnerData, performance_on
from metav_audit.zoo.formats.opaque import Opaque
from metav_audit.zoo.formats.reading import as_opaque
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.plan import TARGET, Plan, Split
from metav_audit.zoo.presets import plan_zoo
from metav_audit.zoo.recipes.learners import DRAWN, LEARNERS, drawn_labels
from metav_audit.zoo.recipes.registry import RECIPES, make_surrogate
from metav_audit.zoo.store import Store, weights_hash
from tests.tables import TABLE, rows

CLASSES = TaskSpec(TABLE.domain, ClassScores(("low", "middle", "high")))
VALUES = TaskSpec(TABLE.domain, Quantities((Quantity("dose", 30.0, 10.0),)))
OPAQUE = [name for name, recipe in RECIPES.items() if recipe.opaque]


def data_of(task: TaskSpec) -> OwnerData:
    """The table's rows with labels, or values, that hang on two columns."""

    def part(seed: int, count: int) -> LabelledData:
        inputs = rows(seed, count).inputs
        score = inputs[:, 0] + inputs[:, 2] + 0.1 * np.random.default_rng(seed).normal(size=count)
        if task.output.labelled:
            return LabelledData(inputs, np.digitize(score, [0.8, 1.2]).astype(np.int64))
        return LabelledData(inputs, (30 + 10 * score).astype(np.float32)[:, None])

    return OwnerData(part(1, 150), part(2, 150), part(3, 150))


def program_of(task: TaskSpec):
    """The owner's training program: a few trees, each on some of the columns."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if task.output.labelled else ExtraTreesRegressor

    def program(seed: int, data: LabelledData) -> Opaque:
        labels = data.labels if task.output.labelled else data.labels.ravel()
        return as_opaque(kind(15, min_samples_leaf=2, random_state=seed).fit(data.inputs, labels), task, "array", None)

    return program


@pytest.fixture(scope="module", params=[CLASSES, VALUES], ids=["classes", "values"])
def world(request):
    """A task, its data, a target and its program."""
    task, data = request.param, data_of(request.param)
    program = program_of(task)
    return task, data, program(1, data.train), program


def made(world, recipe: str, architecture: str = TARGET, seed: int = 5) -> Opaque:
    task, data, target, program = world
    settings = RECIPES[recipe].settings(np.random.default_rng(seed))
    plan = Plan("derived-fit-0", Split.FIT, recipe, architecture, "heldout", seed, settings)
    model = make_surrogate(plan, target, target, task, data, program=program)
    assert isinstance(model, Opaque)
    return model


@pytest.mark.parametrize("recipe", OPAQUE)
def test_what_a_recipe_makes_is_of_use_and_always_the_same(world, recipe, tmp_path):
    """It performs, it comes out of the store as it went in, and the same seed makes it again."""
    task, data, target, _ = world
    if task.output.kind not in RECIPES[recipe].suits:
        pytest.skip("labels are learnt of classes alone")
    architecture = "forest" if RECIPES[recipe].other_architecture else TARGET
    model = made(world, recipe, architecture)
    own = performance_on(data.validation, target, task.output)
    assert performance_on(data.validation, model, task.output) > 0.7 * own
    Store(tmp_path).save("a" * 64, model, 0.5)
    again = Store(tmp_path).load("a" * 64, target.shell())
    inputs = torch.from_numpy(data.validation.inputs)
    assert torch.equal(again(inputs), model(inputs))
    assert weights_hash(made(world, recipe, architecture)) == weights_hash(model)
    assert weights_hash(made(world, recipe, architecture, seed=6)) != weights_hash(model)
    assert not torch.equal(model(inputs), target(inputs))


@pytest.mark.parametrize("architecture", LEARNERS)
def test_every_learner_learns_scores_and_labels(world, architecture):
    """Of a teacher that it never sees inside."""
    task, data, _, _ = world
    for recipe in ("learn-scores", "refit"):
        found = performance_on(data.validation, made(world, recipe, architecture), task.output)
        assert found > trained(task.output).guessing + 0.1


def test_copies_lie_nearer_to_the_target_than_a_rival_does(world):
    """In the mean difference of answers."""
    _, data, target, _ = world
    inputs = torch.from_numpy(data.validation.inputs)
    copy, rival = (made(world, name)(inputs) for name in ("round-scores", "refit"))
    apart = {name: float((each - target(inputs)).abs().mean()) for name, each in (("copy", copy), ("rival", rival))}
    assert apart["copy"] < apart["rival"]


def test_labels_are_drawn_as_often_as_their_shares_say():
    """A class without a share is never drawn."""
    shares = np.tile([[0.5, 0.0, 0.5]], (4000, 1))
    drawn = drawn_labels(shares, np.random.default_rng(0))
    assert drawn.shape == (4000, DRAWN)
    assert np.allclose(np.bincount(drawn.ravel(), minlength=3) / drawn.size, [0.5, 0, 0.5], atol=0.02)


@pytest.mark.parametrize("preset", ["quick", "standard", "full"])
@pytest.mark.parametrize("kind", [OutputKind.CLASSIFICATION, OutputKind.REGRESSION])
def test_a_zoo_without_gradients_holds_nothing_that_needs_them(preset, kind):
    """As many lineages as the preset has, all by these recipes, with twins of each."""
    plans = plan_zoo(preset, tuple(LEARNERS), 3, kind, opaque=True)
    usual = plan_zoo(preset, ("mlp-small",), 3, kind)
    assert all(RECIPES[plan.recipe].opaque for plan in plans)
    assert {plan.lineage for plan in plans} == {plan.lineage for plan in usual}
    twins = {plan.recipe for plan in plans if plan.parent is not None}
    assert twins == {plan.recipe for plan in plans if plan.derived}


def test_a_preset_of_checkpoints_is_refused():
    """With those that can be had."""
    with pytest.raises(ConfigurationError, match='preset = "scarce" takes checkpoints'):
        plan_zoo("scarce", tuple(LEARNERS), 3, opaque=True)
