"""The ancestor: which weights are a start for the target, and what in the zoo starts from them."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from torch import nn

from metav_audit.bundle import ErrorRates
from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import OutputKind
from metav_audit.zoo.ancestor import ancestor_sha256, load_ancestor, whole_ancestor
from metav_audit.zoo.build import address_of, plans_of
from metav_audit.zoo.plan import TARGET, Split
from metav_audit.zoo.presets import OF_ANCESTOR, plan_zoo
from metav_audit.zoo.program import run_program
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.recipes.registry import make_surrogate
from metav_audit.zoo.store import state_of
from tests.toy import install_presets, network, write_toy

ARCHITECTURES = ("mlp-small", "cnn-small")
SHA256 = "ab" * 32
STATED = '\n[training]\nancestor = "ancestor.safetensors"\n'
BUILT_IN = STATED + 'program = "built-in"\nsiblings = 9\n[training.habits]\nrate = 1e-6\nepochs = 1\n'
HEAD = ("6.weight", "6.bias")


def workshop_of(folder, state, training=STATED, **changes):
    """The toy's workshop with an ancestor of these weights."""
    install_presets()
    path = write_toy(folder, training, **changes)
    if state is not None:
        safetensors.torch.save_file(state, folder / "ancestor.safetensors")
    return open_workshop(load_project(path))


def weights(seed=5, classes=3):
    """An ancestor's, with so many outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return state_of(nn.Sequential(*list(network())[:-1], nn.Linear(16, classes)))


def test_an_ancestor_of_the_target_s_structure_is_whole(tmp_path):
    """All of its weights are taken, and its own answers can be asked."""
    workshop = workshop_of(tmp_path, weights())
    ancestor = load_ancestor(workshop)
    assert ancestor.whole
    assert ancestor.sha256 == ancestor_sha256(workshop.project)
    own = whole_ancestor(workshop).state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in weights().items())


def test_another_last_layer_stays_behind(tmp_path):
    """Then the ancestor has no answers to the task, and every start draws a last layer of its own."""
    workshop = workshop_of(tmp_path, weights(classes=7), BUILT_IN)
    ancestor = load_ancestor(workshop)
    assert (ancestor.whole, whole_ancestor(workshop)) == (False, None)
    assert not set(HEAD) & set(ancestor.state)
    runs = [run_program(workshop, seed).state_dict() for seed in (1, 2)]
    assert all(torch.allclose(run["0.weight"], weights()["0.weight"], atol=1e-4) for run in runs)
    assert not torch.allclose(runs[0]["6.weight"], runs[1]["6.weight"], atol=1e-2)


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        (None, ConfigurationError, r"cannot read the weights .*ancestor = \"none\""),
        ({**weights(), "4.weight": torch.zeros(8, 96)}, DataError, r"lack '4.weight' in its shape, \(16, 96\)"),
        ({name: each for name, each in weights().items() if name != "0.bias"}, DataError, "lack '0.bias'"),
        ({"other": torch.zeros(2)}, DataError, "only the last layer may be another"),
    ],
)
def test_what_is_no_start_for_the_target_is_refused(tmp_path, state, error, said):
    """With the layer that does not fit."""
    with pytest.raises(error, match=said):
        load_ancestor(workshop_of(tmp_path, state))


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    """And nothing in it is unpickled."""
    workshop = workshop_of(tmp_path, None)
    torch.save(weights(), tmp_path / "ancestor.safetensors")
    with pytest.raises(DataError, match="as safetensors"):
        load_ancestor(workshop)


@pytest.mark.parametrize(("training", "stated"), [("", None), ('\n[training]\nancestor = "none"\n', "none")])
def test_without_an_ancestor_nothing_starts_from_one(tmp_path, training, stated):
    """Stated as none or not at all; without a program there are no siblings either way."""
    workshop = workshop_of(tmp_path, None, training)
    assert (ancestor_sha256(workshop.project), load_ancestor(workshop)) == (stated, None)
    assert workshop.project.sibling_seeds == ()
    assert not any(plan.of_ancestor for plan in plans_of(workshop))


@pytest.mark.parametrize("preset", ["quick", "standard", "full"])
def test_an_ancestor_adds_lineages_and_changes_none(preset):
    """Independents in every split that has some, as many as a promise needs in the calibration, and thieves."""
    plain = plan_zoo(preset, ARCHITECTURES, 3)
    plans = plan_zoo(preset, ARCHITECTURES, 3, ancestor=SHA256)
    added = [plan for plan in plans if plan not in plain]
    assert [plan for plan in plans if plan not in added] == list(plain)
    assert not {plan.lineage for plan in added} & {plan.lineage for plan in plain}
    roots = [plan for plan in added if plan.recipe == OF_ANCESTOR]
    assert {plan.split for plan in roots} == {plan.split for plan in plain}
    assert sum(plan.split is Split.CALIBRATION for plan in roots) >= 24
    assert not any(plan.derived for plan in roots)
    thieves = [plan for plan in added if plan.derived]
    assert {(plan.recipe, plan.ancestor) for plan in thieves} == {("distill", SHA256)} | (
        {("extract-hard", SHA256)} if preset == "full" else set()
    )
    assert all(plan.of_ancestor for plan in added)
    assert len({address_of(plan, "context") for plan in plans}) == len(plans)


def test_a_stricter_promise_has_more_independents_of_the_ancestor():
    """So many that among them alone a p-value can be as small as promised."""
    plans = plan_zoo("quick", ARCHITECTURES, 3, rates=ErrorRates(0.01, 0.05), ancestor=SHA256)
    assert sum(plan.recipe == OF_ANCESTOR and plan.split is Split.CALIBRATION for plan in plans) >= 99


@pytest.mark.parametrize("kind", list(OutputKind))
def test_every_kind_of_output_has_such_lineages(kind):
    """With students of the target's own architecture alone."""
    added = [plan for plan in plan_zoo("quick", ARCHITECTURES, 3, kind, ancestor=SHA256) if plan.ancestor]
    assert {plan.derived for plan in added} == {True, False}
    assert {plan.architecture for plan in added} == {TARGET}


def test_such_a_model_starts_from_the_ancestor(tmp_path):
    """Tuned for no time at all it is the ancestor; without one it is refused."""
    workshop = workshop_of(tmp_path, weights(), preset='"mini"')
    target, data = workshop.target, workshop.data
    plan = next(plan for plan in plans_of(workshop) if plan.recipe == OF_ANCESTOR)
    plan.settings["epochs"] = 0
    given = plan, target.network, target.network, target.task, data
    model = make_surrogate(*given, ancestor=load_ancestor(workshop))
    assert all(torch.equal(model.state_dict()[name], each) for name, each in weights().items())
    with pytest.raises(ConfigurationError, match="name its weights below"):
        make_surrogate(*given)
