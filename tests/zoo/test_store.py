"""The store of trained models, and resuming from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import safetensors
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.zoo.build import address_of, build_zoo, context_address
from metav_audit.zoo.presets import plan_zoo
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.recipes import registry as recipes
from metav_audit.zoo.store import Store, content_address, load_weights, weights_hash
from tests.toy import install_presets, write_toy

ADDRESS = "a" * 64
NINE = 9
"""The models of the preset "mini"."""


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


@pytest.fixture
def store(tmp_path):
    """A store that holds one model."""
    store = Store(tmp_path)
    store.save(ADDRESS, model(), 0.75)
    return store


@pytest.fixture
def mini(tmp_path):
    """A project whose zoo has nine models."""
    install_presets()
    return load_project(write_toy(tmp_path, preset='"mini"'))


@pytest.fixture
def trained(monkeypatch):
    """The plans that are carried out from now on in this process."""
    plans, make = [], recipes.make_surrogate

    def count(plan, *arguments, **more):
        plans.append(plan)
        return make(plan, *arguments, **more)

    monkeypatch.setattr(recipes, "make_surrogate", count)
    return plans


def contents(project):
    """Everything in the store but zoo.json: metadata and tensors, by file name."""
    found = {}
    for path in project.store.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="np") as file:
            found[path.name] = (file.metadata(), {name: file.get_tensor(name).tolist() for name in file.keys()})  # noqa: SIM118
    return found


def test_what_is_stored_is_what_is_loaded(store):
    """Weights, buffers and performance survive."""
    loaded = store.load(ADDRESS, model(seed=1))
    assert weights_hash(loaded) == weights_hash(model())
    assert not loaded.training
    assert store.performance(ADDRESS) == 0.75


DAMAGES = {
    "truncated": lambda content: content[:-10],
    "cut in the header": lambda content: content[:20],
    "empty": lambda content: b"",
    "one bit flipped": lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    "another file": lambda content: b"<html>404</html>",
    "performance altered": lambda content: content.replace(b"0.75", b"best"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_counts_as_missing(store, damage):
    """Partial, altered or foreign files are no models."""
    path = store.path(ADDRESS)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert store.performance(ADDRESS) is None


def test_a_missing_model_is_none(store):
    """Nothing at an address is no error, until its weights are asked for."""
    assert store.performance("b" * 64) is None
    with pytest.raises(DataError, match="cannot read the zoo's model"):
        store.load("b" * 64, model())


def test_weights_of_another_structure_are_refused(store):
    """The message names the file and what does not fit."""
    with pytest.raises(DataError, match="does not fit the model's structure"):
        load_weights(nn.Linear(4, 2), store.path(ADDRESS), "the target's weights")


def test_hashes_follow_content():
    """Names, shapes, types and values change a model's hash; the order of a description's keys does not."""
    assert weights_hash(model()) == weights_hash(model())
    others = [model(seed=1), model().double(), nn.Sequential(nn.Linear(4, 3)), model()[0]]
    assert len({weights_hash(other) for other in [model(), *others]}) == 5
    assert content_address({"a": 1, "b": 2}) == content_address({"b": 2, "a": 1})


def test_nothing_is_trained_twice(mini, trained):
    """A second run, and a second look at the same project, train nothing and give the same zoo."""
    zoo = build_zoo(mini, jobs=1)
    assert len(trained) == NINE
    first_hash = zoo.sha256
    trained.clear()
    assert build_zoo(mini, jobs=1).sha256 == first_hash
    assert trained == []


def test_a_damaged_model_is_trained_again_and_no_other(mini, trained):
    """A bit flipped, a file cut short, a file gone: three models are trained, and the zoo is the same."""
    zoo = build_zoo(mini, jobs=1)
    trained.clear()
    paths = [mini.store / f"{surrogate.address}.safetensors" for surrogate in zoo.surrogates[:3]]
    before, whole = [path.read_bytes() for path in paths], contents(mini)
    paths[0].write_bytes(DAMAGES["one bit flipped"](before[0]))
    paths[1].write_bytes(before[1][:100])
    paths[2].unlink()
    assert build_zoo(mini, jobs=1).sha256 == zoo.sha256
    assert contents(mini) == whole
    assert len(trained) == 3


def test_the_same_project_gives_the_same_weights(mini, tmp_path_factory):
    """Trained in another folder, every model of the zoo is the same, bit by bit."""
    other = load_project(write_toy(tmp_path_factory.mktemp("other"), preset='"mini"'))
    zoos = [build_zoo(project, jobs=1) for project in (mini, other)]
    assert zoos[0].sha256 == zoos[1].sha256
    assert len(contents(mini)) == NINE
    assert contents(mini) == contents(other)


PROGRAM = """
from tests.toy import install_presets
from metav_audit.cli import main
install_presets()
main()
"""


@pytest.mark.soak
def test_a_zoo_killed_in_the_middle_goes_on_where_it_stopped(mini, trained):
    """After kill -9, what was stored is not trained again, and what was not is."""
    command = [sys.executable, "-c", PROGRAM, "zoo", str(mini.path), "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(mini.store.glob("*.safetensors"))) < 3:
        assert process.poll() is None, "the zoo ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stood = {path: path.stat().st_mtime_ns for path in mini.store.glob("*.safetensors")}
    assert 3 <= len(stood) < NINE
    zoo = build_zoo(mini, jobs=1)
    context = context_address(open_workshop(mini))
    assert len(zoo.surrogates) + zoo.left_out == NINE
    assert {path: path.stat().st_mtime_ns for path in stood} == stood
    assert not {address_of(plan, context) for plan in trained} & {path.stem for path in stood}
    assert len(trained) == NINE - len(stood)


@pytest.mark.soak
def test_workers_in_parallel_give_the_same_zoo(mini, tmp_path_factory):
    """Two worker processes store the same models as one."""
    other = load_project(write_toy(tmp_path_factory.mktemp("parallel"), preset='"mini"'))
    assert build_zoo(other, jobs=2).sha256 == build_zoo(mini, jobs=1).sha256
    assert contents(other) == contents(mini)


def test_the_zoo_is_written_down(toy):
    """zoo.json names every model with its address, split, side and performance."""
    import json

    project = toy.workshop.project
    written = json.loads((project.store / "zoo.json").read_text())
    plans = plan_zoo("tiny", project.settings.zoo.architectures, project.settings.seed, rates=project.rates)
    assert written == toy.zoo.to_json()
    assert len(written["surrogates"]) + written["left_out"] == len(plans)
    assert all(os.path.exists(project.store / f"{row['address']}.safetensors") for row in written["surrogates"])


def test_a_training_that_diverges_is_left_out_and_the_zoo_stands(tmp_path, monkeypatch):
    """One surrogate whose loss is not finite counts among those left out; the others are kept."""
    install_presets()
    folder = write_toy(tmp_path, preset='"mini"')
    make, calls = recipes.make_surrogate, []

    def sometimes(*arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise DataError("training diverged")
        return make(*arguments, **more)

    monkeypatch.setattr(recipes, "make_surrogate", sometimes)
    zoo = build_zoo(load_project(folder), jobs=1)
    assert len(calls) == NINE
    assert 1 <= zoo.left_out < NINE
    assert len(zoo.surrogates) == NINE - zoo.left_out
