"""The registry of recipes: a recipe is one value, and what a zoo needs of it follows from that."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest
import torch
from torch import nn

from metav_audit.evaluation.heldout import HeldOut, without
from metav_audit.zoo import presets, recipes
from metav_audit.zoo.build import build_zoo, load_model
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import ALL_RECIPES, DERIVED_RECIPES, OF_ANCESTOR, OPAQUE_RECIPES, PRESETS, Preset
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.recipes import registry
from metav_audit.zoo.recipes.base import Bench, Draw, Recipe
from metav_audit.zoo.training import last_layer
from tests.toy import write_toy


def test_no_recipe_is_forgotten():
    """Every file that ends in a recipe is registered under its own name, and no two bear the same."""
    files = [import_module(f"{recipes.__name__}.{one.name}") for one in pkgutil.iter_modules(recipes.__path__)]
    found = [one.RECIPE for one in files if hasattr(one, "RECIPE")]
    assert {recipe.name: recipe for recipe in found} == registry.RECIPES
    assert len(found) == len(registry.RECIPES)


def test_every_recipe_is_in_the_full_zoo():
    """Each is a turn of the largest preset or of the zoo without gradients, or how independents are trained."""
    named = {name.removesuffix("-other") for name in (*ALL_RECIPES, *OPAQUE_RECIPES, *PRESETS["full"].roots, "refit")}
    assert (named - {"descend"}) | {OF_ANCESTOR} == set(registry.RECIPES)
    assert OF_ANCESTOR not in named
    assert set(DERIVED_RECIPES) <= set(ALL_RECIPES)


def _sharpen(bench: Bench) -> nn.Module:
    model = bench.copy()
    with torch.no_grad():
        for parameter in last_layer(model):
            parameter.mul_(bench.settings["factor"])
    return model.eval()


SHARPEN = Recipe(name="sharpen", family="sharpen", make=_sharpen, draws=(Draw("factor", 1.5, 3.0),))
EACH = dict.fromkeys(Split, 1)


@pytest.fixture
def sharpened(tmp_path, monkeypatch):
    """A toy project whose preset names a recipe that the product does not have, and its zoo."""
    registered = {**registry.RECIPES, SHARPEN.name: SHARPEN}
    for module in (registry, presets):
        monkeypatch.setattr(module, "RECIPES", registered)
    sizes = Preset(derived=EACH, independent=EACH, twins={**EACH, Split.TEST: 0}, recipes=("sharpen", "noise"))
    monkeypatch.setitem(PRESETS, "sharp", sizes)
    path = write_toy(tmp_path, preset='"sharp"', false_match="0.5", false_no_match="0.5")
    project = load_project(path)
    return open_workshop(project), build_zoo(project, jobs=1)


def test_a_new_recipe_is_one_value_and_a_line(sharpened):
    """Registered and named in a preset, it is planned, drawn, trained and stored, of the target and as a twin."""
    workshop, zoo = sharpened
    copies = [one for one in zoo.surrogates if one.plan.recipe == "sharpen"]
    assert [one.card.derived for one in copies if one.plan.split is Split.FIT] == [True, False]
    for one in copies:
        factor = one.plan.settings["factor"]
        assert 1.5 <= factor <= 3.0
        parent = load_model(workshop, one.plan.parent) if one.plan.parent else workshop.target.network
        made = last_layer(load_model(workshop, one.plan))
        for before, after in zip(last_layer(parent), made, strict=True):
            assert torch.allclose(after, before * factor)


def test_a_new_recipe_s_family_is_left_out_with_its_twins(sharpened):
    """Cards bear family and twin, and the held-out evaluation knows them from there."""
    _, zoo = sharpened
    gone = [one for one in zoo.surrogates if one not in without(zoo, HeldOut.FAMILY, "sharpen").surrogates]
    assert {(one.card.family, one.card.twin_of, one.card.derived) for one in gone} == {
        ("sharpen", None, True),
        ("sharpen", "sharpen", False),
    }
