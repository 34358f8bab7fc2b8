"""Where models train. Steps are made on torch's device without numbers, which refuses what lies elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from metav_audit.cli.opened import with_crew
from metav_audit.errors import ConfigurationError
from metav_audit.zoo.build import context_address
from metav_audit.zoo.device import CPU, answers_on, description_of, device_of, jobs_on, moved
from metav_audit.zoo.generative import descend_against
from metav_audit.zoo.habits import _augmented
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.training import adversary, descend, prune, prune_filters, seeded
from tests.bench.tasks import WARFARIN
from tests.toy import install_presets, network, pictures, write_toy

META = torch.device("meta")


@pytest.fixture
def elsewhere():
    """torch's device without numbers, to which parameters go as they go to an accelerator: the same objects."""
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield META
    torch.__future__.set_swap_module_params_on_conversion(False)


def stepped(model, pairs, loss, device, **more):
    """The devices of the parameters after each step; without numbers nobody can say at the end whether it diverged."""
    seen, after = [], more.pop("after_step", lambda: None)

    def after_step():
        after()
        seen.append({parameter.device for parameter in model.parameters()})

    with pytest.raises((NotImplementedError, RuntimeError), match=r"meta"):
        descend(
            model, list(model.parameters()), pairs, loss, epochs=2, rate=1e-3, generator=seeded(0), device=device,
            after_step=after_step, **more,
        )  # fmt: skip
    return seen


def toy_pairs():
    inputs, labels = pictures(1, 64)
    return torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(labels)


@pytest.mark.parametrize("extra", ["nothing", "adversary", "pruned", "filters pruned", "mirrored"])
def test_every_step_is_made_on_the_device(elsewhere, extra):
    """Inputs, targets, masks, perturbed inputs and the optimiser's state: all of them are there."""
    model, more = network(), {}
    cross = nn.functional.cross_entropy
    if extra == "adversary":
        more["perturb"] = adversary(cross, 0.1, 0.0, 1.0)
    if extra == "pruned":
        more["after_step"] = prune(model, 0.5)
    if extra == "filters pruned":
        more["after_step"] = prune_filters(model, 0.5)
    if extra == "mirrored":
        chance = seeded(3)
        more["perturb"] = lambda _, inputs, __: _augmented(inputs, "mirror", chance)
    assert stepped(model, toy_pairs(), cross, elsewhere, **more) == [{META}] * 4


def test_a_regression_s_scale_follows_its_values(elsewhere):
    """Its loss knows scales, and takes them along."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 1))
    pairs = (torch.zeros(64, 5), torch.zeros(64, 1))
    assert stepped(model, pairs, trained(WARFARIN.output).loss(), elsewhere) == [{META}] * 4


def test_a_generator_and_its_critic_go_together(elsewhere):
    """Latent vectors and examples, too."""
    model, seen = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8))), []
    with pytest.raises((NotImplementedError, RuntimeError), match=r"meta"):
        descend_against(
            model, list(model.parameters()), torch.zeros(32, 1, 8, 8), torch.zeros(32, 4), epochs=1, rate=1e-3,
            generator=seeded(0), device=elsewhere, after_step=lambda: seen.append(next(model.parameters()).device),
        )  # fmt: skip
    assert set(seen) == {META}


def test_what_lies_elsewhere_is_refused_by_the_device_itself(elsewhere):
    """So that the tests above can fail."""
    for here in (torch.ones(3), torch.ones(2, 3)):
        with pytest.raises(RuntimeError, match="device"):
            torch.ones(3, device=elsewhere) * here
    with pytest.raises(RuntimeError, match="device"):
        nn.functional.cross_entropy(torch.ones(2, 3, device=elsewhere), torch.zeros(2, dtype=torch.int64))


def test_a_model_comes_back_whatever_happens():
    """On the processor it is not touched at all."""
    model = network().eval()
    inputs = toy_pairs()[0]
    assert torch.equal(answers_on(CPU, model, inputs), model(inputs).detach())
    before = [parameter.data_ptr() for parameter in model.parameters()]
    with pytest.raises(ZeroDivisionError), moved(CPU, model):
        _ = 1 / 0
    assert [parameter.data_ptr() for parameter in model.parameters()] == before


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused_with_what_is(name, monkeypatch):
    """One line, before anything is trained."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=f"torch finds no {name} on this machine: choose auto, or cpu"):
        device_of(name)
    assert device_of("auto") == device_of("cpu") == CPU


def test_hashes_name_the_device(tmp_path, monkeypatch):
    """On the processor nothing is added, so that what was trained stays; elsewhere every address is another."""
    install_presets()
    project = load_project(write_toy(tmp_path, preset='"mini"'))
    here = context_address(open_workshop(project))
    assert context_address(open_workshop(with_crew(project, None, None, "cpu"))) == here
    monkeypatch.setattr("metav_audit.zoo.project.device_of", torch.device)
    there = open_workshop(dataclasses.replace(project, other_device="mps"))
    assert there.to_json() == {**open_workshop(project).to_json(), "device": "mps"}
    assert context_address(there) != here
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    assert description_of(torch.device("cuda")) == "cuda Some GPU"


def test_few_processes_share_an_accelerator():
    """Unless it is said how many."""
    assert jobs_on(CPU, None) is None
    assert jobs_on(torch.device("mps"), None) <= 4
    assert jobs_on(torch.device("mps"), 7) == 7


def test_the_file_names_a_device_and_the_command_line_another(tmp_path, monkeypatch):
    """And what is no device is refused as a field."""
    monkeypatch.setattr("metav_audit.zoo.project.device_of", torch.device)
    project = load_project(write_toy(tmp_path, store='"zoo"\ndevice = "mps"'))
    assert project.device == torch.device("mps")
    assert with_crew(project, None, None, "cpu").device == CPU
    with pytest.raises(ConfigurationError, match="device"):
        load_project(write_toy(tmp_path / "odd", store='"zoo"\ndevice = "tpu"'))
