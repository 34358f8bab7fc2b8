"""Who trains: processes of this machine, and what is said of clusters where their libraries are not installed."""

from __future__ import annotations

import dataclasses
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from metav_audit.cli.opened import with_crew
from metav_audit.errors import ConfigurationError, DataError, RemoteError
from metav_audit.zoo.build import _make_one as make_one
from metav_audit.zoo.build import address_of, build_zoo, context_address, plans_of
from metav_audit.zoo.crew import Processes, _check_answers, count_workers, crew_of, one_at_a_time
from metav_audit.zoo.project import load_project, open_workshop
from tests.clusters.tasks import die, die_once, square
from tests.toy import install_presets, write_toy


@pytest.mark.parametrize(
    ("backend", "address", "jobs", "message"),
    [
        ("local", "tcp://127.0.0.1:1", None, "needs its kind"),
        ("dask", None, None, "needs the address"),
        ("ray", "127.0.0.1:1", 2, "leave them out"),
    ],
)
def test_a_crew_that_is_half_said_is_refused(backend, address, jobs, message):
    """Before anything is trained."""
    with pytest.raises(ConfigurationError, match=message):
        count_workers(backend, address, jobs)


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_library_is_named_with_its_extra(backend, package, monkeypatch):
    """One line."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"needs {package}: pip install 'metav-audit\[{backend}\]'"):
        count_workers(backend, "127.0.0.1:1", None)


@pytest.mark.parametrize("address", ["auto", "tcp://", "host", "tcp://host:port", "[::1"])
def test_what_is_no_address_is_refused(address):
    """Ray's "auto" too, which takes whatever it finds."""
    with pytest.raises(ConfigurationError, match="is no address of a cluster: write HOST:PORT"):
        _check_answers(address, "cluster")


def test_where_nobody_listens_it_is_said_at_once():
    """With the address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(RemoteError, match=f"no cluster answers at tcp://127.0.0.1:{port}"):
        _check_answers(f"tcp://127.0.0.1:{port}", "cluster")


def test_the_project_names_its_crew_and_the_command_line_another(tmp_path):
    """The file's own, an address of the same kind, another kind."""
    project = load_project(write_toy(tmp_path, store='"zoo"\nbackend = "dask"\naddress = "tcp://a:1"'))
    assert project.crew == ("dask", "tcp://a:1")
    assert with_crew(project, None, None).crew == ("dask", "tcp://a:1")
    assert with_crew(project, None, "tcp://b:1").crew == ("dask", "tcp://b:1")
    assert with_crew(project, "local", None).crew == ("local", None)
    assert count_workers(*with_crew(project, "local", None).crew, 3) == 3


def test_a_worker_that_would_make_something_else_refuses(tmp_path):
    """Another target, other data, another version: nothing is stored under a wrong address."""
    install_presets()
    project = load_project(write_toy(tmp_path, preset='"mini"'))
    with pytest.raises(ConfigurationError, match="a worker has another target, other data or another version"):
        make_one((project, plans_of(open_workshop(project))[0], "0" * 64))
    assert not project.store.exists()


def test_a_worker_that_is_asked_twice_trains_once(tmp_path, monkeypatch):
    """What is in the store, by whomever, stays."""
    install_presets()
    project = load_project(write_toy(tmp_path, preset='"mini"'))
    zoo = build_zoo(project, jobs=1)
    workshop = open_workshop(project)
    monkeypatch.setattr("metav_audit.zoo.recipes.registry.make_surrogate", None)
    for plan in plans_of(workshop):
        assert make_one((project, plan, address_of(plan, context_address(workshop)))) < 5
    assert build_zoo(dataclasses.replace(project), jobs=1).sha256 == zoo.sha256


def test_one_process_is_this_one():
    """Every task with its result."""
    with crew_of("local", None, 1) as crew:
        assert dict(crew.each(square, range(5))) == {each: each * each for each in range(5)}


def test_threads_of_one_process_train_one_after_another():
    """A Dask worker may have several, and trainings share torch's one generator."""
    inside, most = [], []

    def work(task):
        inside.append(task)
        most.append(len(inside))
        time.sleep(0.01)
        inside.remove(task)
        return task

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(one_at_a_time, work), range(8))) == list(range(8))
    assert set(most) == {1}


@pytest.mark.soak
def test_a_process_that_dies_costs_no_task(tmp_path):
    """All of them are done, the one that died among them; a task that always kills ends the run."""
    done = [str(task) for task, _ in Processes(2).each(die_once, [tmp_path / str(at) for at in range(5)])]
    assert sorted(done) == [str(tmp_path / str(at)) for at in range(5)]
    with pytest.raises(DataError, match="the workers die of a model in training"):
        list(Processes(2).each(die, [1, 2]))
