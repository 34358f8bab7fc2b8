"""Siblings: reruns of the owner's own training program, stored, proven, and refused where they prove nothing."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.program import check_program, describe_program
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.replay import ReplayStatus, replay_target
from metav_audit.zoo.siblings import load_siblings, make_siblings, sibling_address
from metav_audit.zoo.strangers import check_no_stranger, strangeness_of
from metav_audit.zoo.training import descend, seeded
from tests.toy import TASK, TRAINING, network, train, write_toy

UNSEEDED = TRAINING.replace("tests.toy:train", "tests.zoo.test_siblings:same")
OTHER = TRAINING.replace("tests.toy:train", "tests.zoo.test_siblings:other")
TAIL = TRAINING.replace("tests.toy:train", "tests.zoo.test_siblings:tail") + 'checkpoint = "checkpoint.pt"\n'
BUILT_IN_TAIL = TRAINING.replace("tests.toy:train", "built-in") + 'checkpoint = "checkpoint.pt"\n'
LONGER = TRAINING.replace("tests.toy:train", "tests.zoo.test_siblings:brief").replace("siblings = 9", "siblings = 19")
BUILT_IN = TRAINING.replace('"tests.toy:train"', '"built-in"') + "[training.habits]\nrate = 5e-3\nepochs = 20\n"


def same(seed, data):
    """A program without chance."""
    del seed
    return train(1, data)


def other(seed, data):
    """A program whose models are built otherwise than the target."""
    del data
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def brief(seed, data):
    """A program that trains a tenth as long as the target was."""
    torch.manual_seed(seed)
    model = network()
    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model.eval()


def tail(seed, data, checkpoint):
    """A program that goes on from a checkpoint of the target's run."""
    model = network()
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    pairs = (torch.from_numpy(data.inputs), torch.from_numpy(data.labels))
    loss, parameters = nn.functional.cross_entropy, list(model.parameters())
    descend(model, parameters, pairs, loss, epochs=4, rate=5e-3, generator=seeded(seed))
    return model


def workshop_of(folder, training=TRAINING, **changes):
    return open_workshop(load_project(write_toy(folder, training, **changes)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The toy's workshop with its nine siblings trained."""
    workshop = workshop_of(tmp_path_factory.mktemp("siblings"))
    make_siblings(workshop, jobs=1)
    return workshop


def weights(model):
    return torch.cat([each.detach().ravel() for each in model.parameters()])


def test_siblings_are_reruns_of_the_program_with_other_seeds(made):
    """As many as asked for, each as the program gives it, none the target, in evaluation mode and frozen."""
    siblings = load_siblings(made)
    assert len(siblings) == 9
    seeds = made.project.sibling_seeds
    for seed, model in zip(seeds[:2], siblings, strict=False):
        assert torch.equal(weights(model), weights(train(seed, made.data.train)))
    assert len({weights(model).sum().item() for model in [made.target.network, *siblings]}) == 10
    assert not any(each.requires_grad for model in siblings for each in model.parameters())
    assert not any(model.training for model in siblings)


def test_what_is_stored_is_not_trained_again(made, monkeypatch):
    """A second call runs nothing; a damaged sibling alone is trained anew."""
    monkeypatch.setattr("metav_audit.zoo.siblings.run_program", lambda *_: pytest.fail("trained again"))
    make_siblings(made, jobs=1)
    monkeypatch.undo()
    path = made.project.store / f"{sibling_address(made, made.project.sibling_seeds[3])}.safetensors"
    before, content = weights(load_siblings(made)[3]), path.read_bytes()
    path.write_bytes(content[:-4] + b"\0\0\0\1")
    told = []
    make_siblings(made, jobs=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]
    assert torch.equal(weights(load_siblings(made)[3]), before)


def test_seeds_follow_from_the_nonce(made):
    """Not from what the owner likes: another nonce gives others, the same the same."""
    assert dataclasses.replace(made.project, nonce="0" * 64).sibling_seeds != made.project.sibling_seeds
    assert load_project(made.project.path).sibling_seeds == made.project.sibling_seeds
    assert len(set(made.project.sibling_seeds)) == 9


def test_an_address_changes_with_program_and_data(made, tmp_path):
    """Another program, other data or another version of a library make other siblings."""
    seed = made.project.sibling_seeds[0]
    moved = workshop_of(tmp_path / "other", OTHER)
    assert sibling_address(moved, seed) != sibling_address(made, seed)
    fewer = workshop_of(tmp_path / "fewer")
    inputs = np.load(tmp_path / "fewer" / "train.npz")
    np.savez(tmp_path / "fewer" / "train.npz", x=inputs["x"][:-1], y=inputs["y"][:-1])
    open_workshop.cache_clear()
    assert sibling_address(open_workshop(fewer.project), seed) != sibling_address(made, seed)


def test_a_program_without_chance_is_found_at_the_third_sibling(tmp_path):
    """And the message says where chance may come from."""
    workshop = workshop_of(tmp_path, UNSEEDED)
    told = []
    with pytest.raises(DataError, match=r"give the same model whatever the seed.*Draw from the seed"):
        make_siblings(workshop, jobs=1, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 9)


def test_a_model_of_another_structure_is_refused(tmp_path):
    """In one line that names the program."""
    with pytest.raises(DataError, match="test_siblings:other' gives a model of another structure than the target's"):
        make_siblings(workshop_of(tmp_path, OTHER), jobs=1)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("tests.toy:nothing", "cannot import training program 'tests.toy:nothing'"),
        ("tests.toy:TRAINING", "training program 'tests.toy:TRAINING' is not a function"),
    ],
)
def test_a_program_that_is_none_is_refused_before_anything_is_trained(tmp_path, program, said):
    """With what to write."""
    with pytest.raises(ConfigurationError, match=said):
        make_siblings(workshop_of(tmp_path, TRAINING.replace("tests.toy:train", program)), jobs=1)


def test_an_honest_target_is_no_stranger_and_is_reproduced(made):
    """Its own seed gives its own answers."""
    siblings = load_siblings(made)
    assert not check_no_stranger(made, siblings).is_stranger
    found = replay_target(made, siblings)
    assert (found.status, found.furthest) == (ReplayStatus.REPRODUCED, 0.0)
    assert found.siblings > found.tolerance


def test_another_seed_reproduces_nothing(made, tmp_path):
    """The run of a seed that is not the target's is as far as any sibling."""
    wrong = dataclasses.replace(made.project, text=made.project.text.replace("seed = 1\n", "seed = 2\n"))
    found = replay_target(dataclasses.replace(made, project=wrong), load_siblings(made))
    assert found.status is ReplayStatus.NOT_REPRODUCED


def test_a_target_that_was_trained_otherwise_is_a_stranger(tmp_path):
    """Ten times as long: it is refused with the figure that is off and a habit that would move it so."""
    workshop = workshop_of(tmp_path, LONGER)
    make_siblings(workshop, jobs=1)
    with pytest.raises(DataError, match=r"is a stranger .* standard deviations\), as if it were") as refused:
        check_no_stranger(workshop, load_siblings(workshop))
    assert "--method committee" in str(refused.value)


def test_no_model_of_a_kind_is_a_stranger_more_often_than_promised():
    """Each of 40 alike models is the target in its turn: at most two can have a p-value of 5 % or less."""
    rng = np.random.default_rng(0)
    names = ["confidence on noise", "entropy on noise", "accuracy on natural inputs"]
    told = [dict(zip(names, row, strict=True)) for row in rng.normal(size=(40, 3)).tolist()]
    refused = [strangeness_of([told[at], *told[:at], *told[at + 1 :]]).is_stranger for at in range(40)]
    assert sum(refused) == 2


def test_the_built_in_program_trains_the_target_s_structure_by_its_habits(tmp_path):
    """From other random weights each time; unknown habits are refused."""
    workshop = workshop_of(tmp_path, BUILT_IN)
    make_siblings(workshop, jobs=1)
    siblings = load_siblings(workshop)
    assert len({weights(model).sum().item() for model in siblings}) == 9
    with torch.no_grad():
        labels = siblings[0](torch.from_numpy(workshop.data.validation.inputs)).argmax(1).numpy()
    assert (labels == workshop.data.validation.labels).mean() > 0.6
    assert tuple(siblings[0](torch.from_numpy(workshop.data.validation.inputs[:2])).shape) == (2, TASK.output.size)
    with pytest.raises(ConfigurationError, match=r"\[training\.habits\]"):
        make_siblings(workshop_of(tmp_path / "odd", BUILT_IN.replace("epochs = 20", "epoch = 20")), jobs=1)


def test_siblings_may_share_the_run_up_to_a_checkpoint(tmp_path):
    """The program goes on from it, and the manifest names its hash; another one makes other siblings."""
    write_toy(tmp_path)
    torch.save(network().state_dict(), tmp_path / "checkpoint.pt")
    workshop = workshop_of(tmp_path, TAIL)
    make_siblings(workshop, jobs=1)
    seed = workshop.project.sibling_seeds[0]
    again = tail(seed, workshop.data.train, tmp_path / "checkpoint.pt")
    assert torch.equal(weights(load_siblings(workshop)[0]), weights(again))
    content = (tmp_path / "checkpoint.pt").read_bytes()
    assert describe_program(workshop)["checkpoint"] == hashlib.sha256(content).hexdigest()
    before = sibling_address(workshop, seed)
    torch.save(network().state_dict(), tmp_path / "checkpoint.pt")
    open_workshop.cache_clear()
    assert sibling_address(open_workshop(workshop.project), seed) != before


@pytest.mark.parametrize(
    ("training", "said"),
    [(TAIL, "that runs start from: No such file"), (BUILT_IN_TAIL, "starts anew")],
)
def test_a_checkpoint_that_cannot_be_gone_on_from_is_refused(tmp_path, training, said):
    """It is missing, or the built-in program was asked to."""
    with pytest.raises(ConfigurationError, match=said):
        check_program(workshop_of(tmp_path, training).project)
