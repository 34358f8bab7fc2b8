"""The digits zoo on clusters of two workers and on S3: the same models, bit by bit, as one process makes."""

from __future__ import annotations

import dataclasses
import threading
from unittest import mock

import pytest
import safetensors.torch
import tomlkit

from metav_audit.cli import main
from metav_audit.demo.digits import write_project
from metav_audit.errors import ConfigurationError, DataError, RemoteError
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.crew import crew_of
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.recipes.base import Habits
from metav_audit.zoo.recipes.registry import RECIPES
from metav_audit.zoo.siblings import make_siblings
from metav_audit.zoo.store import Store
from tests.clusters.crews import bucket, dask_cluster, free_port, ray_cluster, wait_for
from tests.clusters.tasks import die, die_once, pid, refuse, square
from tests.toy import TRAINING, install_presets, write_toy
from tests.zoo.test_store import contents

for library in ("boto3", "distributed", "psutil", "ray"):
    pytest.importorskip(library)
CLUSTERS = {"dask": dask_cluster, "ray": ray_cluster}
MODELS = 9


@pytest.fixture(scope="module")
def few_epochs():
    """Makers train an eighth as long as they would; plans say so to the workers."""
    short = {
        name: recipe
        if recipe.habits is None
        else dataclasses.replace(recipe, habits=Habits((3, 6), recipe.habits.rate))
        for name, recipe in RECIPES.items()
    }
    with mock.patch("metav_audit.zoo.presets.RECIPES", short):
        yield


@pytest.fixture(scope="module")
def digits(tmp_path_factory, few_epochs):
    """The demo's project with a zoo of nine models, without siblings."""
    install_presets()
    folder = tmp_path_factory.mktemp("digits")
    write_project(folder, 0, "mini")
    path = folder / "project.toml"
    told = tomlkit.parse(path.read_text())
    told.pop("training")
    told["rates"] = {"false_match": 0.5, "false_no_match": 0.5}
    path.write_text(tomlkit.dumps(told))
    return load_project(path)


@pytest.fixture(scope="module")
def alone(digits):
    """Its zoo as one process makes it, and every model of the store."""
    zoo = build_zoo(digits, jobs=1)
    return zoo.sha256, contents(digits)


@pytest.fixture(params=CLUSTERS)
def cluster(request, tmp_path):
    with CLUSTERS[request.param](tmp_path) as running:
        yield running


def trained_by(cluster, project, place):
    return dataclasses.replace(project, other_store=place, other_crew=(cluster.backend, cluster.address))


def test_a_cluster_of_two_workers_builds_the_zoo_of_one_process_though_one_dies(cluster, digits, alone, tmp_path):
    """Hash for hash and bit for bit; the worker is killed while it trains its second model or a later one."""
    project = trained_by(cluster, digits, tmp_path / "zoo")
    killed = []

    def kill():
        wait_for(lambda: len(list((tmp_path / "zoo").glob("*.safetensors"))) >= 2, "two models")
        killed.append(cluster.kill_one())

    thread = threading.Thread(target=kill)
    thread.start()
    told = []
    zoo = build_zoo(project, progress=lambda done, total: told.append((done, total)))
    thread.join()
    assert killed
    assert zoo.sha256 == alone[0]
    assert contents(project) == alone[1]
    assert told[-1] == (MODELS, MODELS)


def test_siblings_are_trained_by_the_cluster_too(cluster, tmp_path):
    """The toy's nine, bit by bit as one process trains them."""
    project = load_project(write_toy(tmp_path / "toy", TRAINING, preset='"mini"'))
    workshop = open_workshop(project)
    make_siblings(workshop, jobs=1)
    there = trained_by(cluster, project, tmp_path / "zoo")
    make_siblings(open_workshop(there))
    assert len(contents(project)) == 9
    assert contents(there) == contents(project)


def test_dask_workers_store_on_s3_what_one_process_makes(digits, alone, tmp_path):
    """Nothing goes through the planning machine; a second run finds all of it there, and trains nothing."""
    with bucket("models") as address, dask_cluster(tmp_path) as cluster:
        text = digits.text.replace("[zoo]\n", f'[zoo]\nstore = "{address}/digits"\n', 1)
        project = dataclasses.replace(digits, text=text, other_crew=("dask", cluster.address))
        assert build_zoo(project).sha256 == alone[0]
        store = Store(f"{address}/digits")
        for name, (metadata, tensors) in alone[1].items():
            assert store.performance(name.removesuffix(".safetensors")) == float(metadata["performance"])
            found = safetensors.torch.load(store._remote.read(name))
            assert {key: tensor.tolist() for key, tensor in found.items()} == tensors
        told = []
        again = dataclasses.replace(project, other_crew=("local", None))
        assert build_zoo(again, progress=lambda done, total: told.append(total)).sha256 == alone[0]
        assert not any(told)
        store.write(next(iter(alone[1])), b"half a file")
        assert store.performance(next(iter(alone[1])).removesuffix(".safetensors")) is None


def test_a_bucket_that_is_not_there_is_told_before_anything_is_trained(tmp_path):
    """With what to do."""
    with bucket("models"), pytest.raises(ConfigurationError, match="cannot write s3://other/zoo"):
        Store("s3://other/zoo").prepare()


def test_both_workers_work(cluster):
    """Tasks are done in two processes, and neither is this one."""
    with crew_of(cluster.backend, cluster.address, None) as crew:
        assert crew.workers == 2
        assert dict(crew.each(square, range(6))) == {each: each * each for each in range(6)}
        assert len({found for _, found in crew.each(pid, range(20))}) == 2


def test_a_worker_that_dies_costs_its_task_alone(cluster, tmp_path):
    """The others are done once, and its own again."""
    with crew_of(cluster.backend, cluster.address, None) as crew:
        done = [str(task) for task, _ in crew.each(die_once, [tmp_path / str(at) for at in range(4)])]
    assert sorted(done) == [str(tmp_path / str(at)) for at in range(4)]
    assert sorted(len((tmp_path / f"{at}.tries").read_bytes()) for at in range(4)) == [1, 1, 1, 2]


def test_a_task_that_kills_every_worker_ends_the_run_with_what_to_do():
    """Not for ever."""
    with (
        ray_cluster(None) as cluster,
        crew_of("ray", cluster.address, None) as crew,
        pytest.raises(DataError, match="give them more memory"),
    ):
        list(crew.each(die, [1]))


def test_what_a_worker_refuses_is_told_as_here(cluster):
    """An error of ours comes back as it is."""
    with crew_of(cluster.backend, cluster.address, None) as crew, pytest.raises(ConfigurationError, match=r"^no such$"):
        list(crew.each(refuse, [1]))


@pytest.mark.parametrize("backend", CLUSTERS)
def test_where_no_cluster_answers_it_is_said(backend, monkeypatch):
    """One line, and soon."""
    monkeypatch.setattr("metav_audit.zoo.crew.PATIENCE", 1)
    with pytest.raises(RemoteError, match="answers at"), crew_of(backend, f"127.0.0.1:{free_port()}", None):
        pass


def test_the_command_line_trains_on_a_cluster(tmp_path, capsys):
    """``zoo`` with two options; what it trained it finds again."""
    install_presets()
    path = write_toy(tmp_path / "toy", preset='"mini"')
    with dask_cluster(tmp_path) as cluster, pytest.raises(SystemExit) as ended:
        main(["zoo", str(path), "--backend", "dask", "--address", cluster.address])
    assert not ended.value.code
    told = capsys.readouterr()
    assert "independent models in" in told.out
    assert len(contents(load_project(path))) == MODELS
