"""The owner's model, in each of the ways it may be brought."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.fingerprint.methods.features import features_of
from metav_audit.task import ClassScores, ImageDomain, TaskSpec
from metav_audit.zoo.build import build_zoo, load_model
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.outputs.registry import trained as trained_output
from metav_audit.zoo.plan import TARGET, Plan, Split
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.recipes.base import fresh_model
from metav_audit.zoo.recipes.registry import make_surrogate
from metav_audit.zoo.store import state_of, weights_hash
from metav_audit.zoo.target import load_target
from tests.toy import TASK, install_presets, network, pictures, trained, write_toy

HERE = "tests.zoo.test_target"
FIVE = TaskSpec(ImageDomain(1, 4, 4), ClassScores(tuple("abcde")))


class Softmax(nn.Module):
    """The toy target, giving probabilities."""

    def __init__(self):
        super().__init__()
        self.inner = trained()

    def forward(self, inputs):
        return torch.softmax(self.inner(inputs), dim=1)


def constant(value):
    """A model that gives ``value`` whatever it is asked."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.init.constant_(model[1].weight, value)
    return model


def probabilities():
    return Softmax()


def not_a_module():
    return [1, 2]


def not_a_number():
    return constant(float("nan")).requires_grad_(requires_grad=False)


def wrong_inputs():
    return nn.Linear(7, 3)


def wrong_batch():
    return nn.Sequential(nn.Flatten(0), nn.Linear(32, 6), nn.Unflatten(0, (2, 3)))


class Pair(nn.Module):
    def forward(self, inputs):
        return inputs, inputs


def pair():
    return Pair()


def infinite():
    model = constant(0.0)
    nn.init.constant_(model[1].bias, float("inf"))
    return model


def breaks():
    raise ValueError("no licence")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The toy target as a .pt2 file with a dynamic batch dimension."""
    path = tmp_path_factory.mktemp("exported") / "target.pt2"
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(trained(), (torch.zeros(2, 1, 4, 4),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def data():
    parts = [LabelledData(x.astype(np.float32), y.astype(np.int64)) for x, y in (pictures(seed, 60) for seed in (1, 2))]
    return OwnerData(parts[0], parts[1], parts[1])


INPUTS = torch.from_numpy(pictures(5, 33)[0].astype(np.float32))


def test_a_function_brings_the_structure_and_a_file_the_weights(tmp_path):
    """module:function plus safetensors: the model gives what it gave when it was saved."""
    write_toy(tmp_path)
    target = load_target("tests.toy:network", tmp_path / "target.safetensors", "logits", TASK)
    with torch.no_grad():
        assert torch.equal(target.network(INPUTS), trained()(INPUTS))
    assert target.sha256 == weights_hash(trained())
    assert not target.network.training
    assert not any(parameter.requires_grad for parameter in target.network.parameters())


def test_probabilities_serve_as_logits():
    """A model that gives probabilities has the same features as the same model giving logits."""
    target = load_target(f"{HERE}:probabilities", None, "probabilities", TASK)
    with torch.no_grad():
        assert torch.allclose(
            features_of(target.network, INPUTS, FIVE.output), features_of(trained(), INPUTS, FIVE.output), atol=1e-5
        )


def test_an_exported_program_gives_the_same_answers(exported):
    """A .pt2 file needs no source code; batches of any size are answered."""
    target = load_target(str(exported), None, "logits", TASK)
    with torch.no_grad():
        for count in (1, 2, 33):
            assert torch.allclose(target.network(INPUTS[:count]), trained()(INPUTS[:count]), atol=1e-6)
    assert not target.network.training


RECIPES = {
    "fine-tune-last": {},
    "retrain-all": {},
    "prune": {"ratio": 0.5},
    "prune-tune": {"ratio": 0.5},
    "distill": {"temperature": 2.0},
    "train": {},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_exported_program_takes_every_recipe(exported, data, recipe):
    """It is fine-tuned, pruned, distilled and trained from scratch like any module, and stays as it was."""
    target = load_target(str(exported), None, "logits", TASK)
    plan = Plan(
        "a", Split.FIT, recipe, TARGET, "heldout", 3, {"epochs": 8, "rate": 3e-3, "share": 1.0, **RECIPES[recipe]}
    )
    model = make_surrogate(plan, target.network, target.network, TASK, data)
    assert weights_hash(target.network) == target.sha256
    assert weights_hash(model) != target.sha256
    pairs = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.labels)
    accuracy = trained_output(TASK.output).performance(model, *pairs)
    assert accuracy > 0.5
    assert state_of(model).keys() == state_of(fresh_model(TARGET, target.network, TASK, 0)).keys()


def test_an_exported_program_goes_through_a_whole_zoo(exported, tmp_path):
    """A project of a .pt2 file is trained, stored and loaded again."""
    install_presets()
    project = load_project(write_toy(tmp_path, preset='"mini"', model=f'"{exported}"', weights=""))
    zoo, workshop = build_zoo(project, jobs=1), open_workshop(project)
    assert len(zoo.surrogates) >= 6
    for surrogate in zoo.surrogates:
        assert load_model(workshop, surrogate.plan)(INPUTS).shape == (33, 3)


def test_a_program_exported_for_one_batch_size_is_refused(tmp_path):
    """The message says that the batch dimension must be dynamic."""
    torch.export.save(torch.export.export(trained(), (torch.zeros(2, 1, 4, 4),)), tmp_path / "t.pt2")
    with pytest.raises(DataError, match="dynamic batch dimension"):
        load_target(str(tmp_path / "t.pt2"), None, "logits", TASK)


REFUSALS = {
    "not_a_module": (ConfigurationError, "gives list, not a torch.nn.Module"),
    "no_such_function": (ConfigurationError, "cannot import target model"),
    "breaks": (DataError, "fails: ValueError: no licence"),
    "not_a_number": (DataError, "gives NaN or infinite"),
    "infinite": (DataError, "gives NaN or infinite"),
    "wrong_inputs": (DataError, r"fails on inputs of shape \(2, 1, 4, 4\)"),
    "wrong_batch": (DataError, r"fails on inputs of shape \(3, 1, 4, 4\)"),
    "pair": (DataError, r"gives tuple for 2 inputs, the task wants \(2, 3\)"),
}


@pytest.mark.parametrize("function", REFUSALS)
def test_a_model_that_does_not_fit_is_refused(function):
    """Wrong kind, size or values: one line that names the model."""
    kind, said = REFUSALS[function]
    with pytest.raises(kind, match=said) as caught:
        load_target(f"{HERE}:{function}", None, "logits", TASK)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_model_of_another_size_is_refused():
    """Three outputs do not serve a task of five labels."""
    with pytest.raises(DataError, match=r"gives \(2, 3\) for 2 inputs, the task wants \(2, 5\)"):
        load_target("tests.toy:network", None, "logits", FIVE)


def test_files_that_are_no_models_are_refused(tmp_path):
    """Missing, foreign or misfitting files of weights or programs are told."""
    (tmp_path / "bad.pt2").write_bytes(b"PK\x03\x04")
    (tmp_path / "bad.safetensors").write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_target(str(tmp_path / "none.pt2"), None, "logits", TASK)
    with pytest.raises(DataError, match=r"no program that torch.export.save wrote"):
        load_target(str(tmp_path / "bad.pt2"), None, "logits", TASK)
    for name in ("none", "bad"):
        with pytest.raises(DataError, match="cannot read the target's weights"):
            load_target("tests.toy:network", tmp_path / f"{name}.safetensors", "logits", TASK)
    write_toy(tmp_path)
    with pytest.raises(DataError, match="does not fit the model's structure"):
        load_target(f"{HERE}:wrong_inputs", tmp_path / "target.safetensors", "logits", TASK)


def test_the_structure_alone_has_random_weights():
    """Without a file of weights, the function's own weights are the target's."""
    torch.manual_seed(4)
    first = load_target("tests.toy:network", None, "logits", TASK)
    torch.manual_seed(4)
    assert first.sha256 == weights_hash(network())
