"""A store elsewhere: models below an address that fsspec knows; here its file system in memory."""

from __future__ import annotations

import dataclasses

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import ConfigurationError, DataError, RemoteError
from metav_audit.zoo import remote
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project
from metav_audit.zoo.store import Store, weights_hash
from tests.toy import install_presets, write_toy
from tests.zoo.test_store import ADDRESS, DAMAGES, model

FILE = f"/models/{ADDRESS}.safetensors"


@pytest.fixture
def memory():
    """fsspec's files in memory, none of them there."""
    system = fsspec.filesystem("memory", use_listings_cache=False)
    system.store.clear()
    remote._judged.cache_clear()
    return system


@pytest.fixture
def store(memory):
    """A store that holds one model."""
    store = Store("memory://models")
    store.prepare()
    assert not memory.store
    store.save(ADDRESS, model(), 0.75)
    return store


def test_what_is_stored_elsewhere_is_what_is_loaded(store):
    """Weights, buffers and performance survive."""
    assert store.holds(ADDRESS)
    assert store.performance(ADDRESS) == 0.75
    assert weights_hash(store.load(ADDRESS, model(seed=1))) == weights_hash(model())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_elsewhere_counts_as_missing(store, memory, damage):
    """Though it was whole when it was last looked at."""
    assert store.performance(ADDRESS) == 0.75
    memory.pipe_file(FILE, DAMAGES[damage](memory.cat_file(FILE)))
    assert store.performance(ADDRESS) is None


@given(content=st.binary(max_size=64))
def test_any_bytes_are_no_model(content):
    """Nothing that is not one is taken for one, and none ends the run."""
    store = Store("memory://models")
    store.write(f"{'c' * 64}.safetensors", content)
    assert store.performance("c" * 64) is None


def test_an_unchanged_file_is_read_but_once(store, memory, monkeypatch):
    """What was found whole is not fetched again to be asked for its performance."""
    read = []
    monkeypatch.setattr(type(memory), "cat_file", _counted(type(memory).cat_file, read))
    assert {store.performance(ADDRESS) for _ in range(3)} == {0.75}
    assert len(read) == 1


def test_a_missing_model_elsewhere_is_none(store):
    """Nothing at an address is no error, until its weights are asked for."""
    assert store.performance("b" * 64) is None
    assert not store.holds("b" * 64)
    with pytest.raises(DataError, match=r"cannot read the zoo's model memory://models/b+\.\w+: it is not there"):
        store.load("b" * 64, model())


def test_a_file_that_is_too_large_is_not_read(store, monkeypatch):
    """A model's file has a bound."""
    monkeypatch.setattr(remote, "LARGEST", 10)
    with pytest.raises(RemoteError, match="more than 10: it is no model's"):
        store.performance(ADDRESS)


def test_a_store_that_fails_is_told_with_what_to_do(store, memory, monkeypatch):
    """Whatever its library raises."""
    monkeypatch.setattr(type(memory), "pipe_file", _failing)
    with pytest.raises(RemoteError, match="the store memory://models fails: no route; what it holds stands"):
        store.save(ADDRESS, model(), 0.75)
    with pytest.raises(ConfigurationError, match="cannot write memory://models: no route"):
        store.prepare()


@pytest.mark.parametrize(
    ("address", "message"),
    [("s3://user:geheim@bucket/zoo", "holds a password"), ("nosuch://bucket", "needs fsspec and what reads")],
)
def test_an_address_that_cannot_be_used_is_refused(address, message):
    """And no password is repeated."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        Store(address).prepare()
    assert "geheim" not in str(caught.value)


def test_a_zoo_elsewhere_is_the_zoo_here(memory, tmp_path):
    """The same hash; a second run trains nothing; zoo.json stands beside the models."""
    install_presets()
    here = load_project(write_toy(tmp_path, preset='"mini"'))
    there = dataclasses.replace(here, text=here.text.replace('store = "zoo"', 'store = "memory://models/zoo"'))
    zoo = build_zoo(there, jobs=1)
    told = []
    assert build_zoo(there, jobs=1, progress=lambda _, total: told.append(total)).sha256 == zoo.sha256
    assert not any(told)
    assert zoo.sha256 == build_zoo(here, jobs=1).sha256
    assert {path.name for path in here.store.iterdir()} == {name.rpartition("/")[2] for name in memory.store}
    with pytest.raises(ConfigurationError, match="lie at memory://models/zoo, and here a folder is needed"):
        _ = there.store


def _counted(function, calls):
    def counted(*arguments, **more):
        calls.append(arguments)
        return function(*arguments, **more)

    return counted


def _failing(*_, **__):
    raise TimeoutError("no route")
