"""A plan of coins: written, read, and refused where anything in it does not fit."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle import CoinPlan, CoinQuery
from metav_audit.errors import BundleError
from metav_audit.task import Dither, input_bytes
from tests.builders import linear_model, make_task

TASK = make_task(classes=3, side=2)
DITHER = Dither(bytes(range(32)), 2.0, 1.0)


def make_plan(accounts: int = 2, each: int = 6) -> CoinPlan:
    """A plan whose answers were served as its dither makes them."""
    rng, model, queries = np.random.default_rng(0), linear_model(TASK, 1), []
    for account in map(str, range(accounts)):
        inputs = TASK.domain.sample(each, rng)
        own, sent = np.exp(model(inputs)), input_bytes(inputs)
        own = own / own.sum(axis=1, keepdims=True)
        served = DITHER.served(own, DITHER.coins(account, sent))
        for one, before, after in zip(sent, own.tolist(), served, strict=True):
            label = TASK.output.labels[int(after.argmax())]
            queries.append(CoinQuery(account, "2026-01-02T03:04:05Z", one, tuple(before), label))
    return CoinPlan(TASK, DITHER, tuple(queries), "ab" * 32, commitment=b"signed")


PLAN = make_plan()
FIELDS = json.loads(json.dumps(PLAN.to_json()))


def test_a_plan_comes_back_as_it_was(tmp_path):
    """File, hash, inputs and coins; only its owner may read it."""
    path = tmp_path / "plan.json"
    PLAN.save(path)
    read = CoinPlan.load(path)
    assert read == PLAN
    assert (read.sha256, read.commitment) == (PLAN.sha256, b"signed")
    assert path.stat().st_mode & 0o077 == 0
    np.testing.assert_array_equal(read.inputs, PLAN.inputs)
    assert not read.strays().any()


@pytest.mark.parametrize("change", [lambda text: text + b" ", lambda text: text.replace(b"0.05", b"0.050"), lambda text:
                         json.dumps(json.loads(text)).encode()])  # fmt: skip
def test_another_spelling_of_the_same_plan_is_refused(tmp_path, change):
    """Numbers written otherwise hash alike, so the file has to be the one that was made, to the byte."""
    path = tmp_path / "plan.json"
    path.write_bytes(change(PLAN.to_bytes()))
    with pytest.raises(BundleError, match="not as this program writes it"):
        CoinPlan.load(path)


def test_the_hash_stands_for_everything_but_the_commitment():
    """Another key, rate, log or answer is another plan."""
    from dataclasses import replace

    served = replace(PLAN.queries[0], served=tuple(PLAN.queries[0].own))
    others = [
        replace(PLAN, dither=Dither(bytes(32), 2.0, 1.0)),
        replace(PLAN, rate=0.01),
        replace(PLAN, log="cd" * 32),
        replace(PLAN, queries=(served, *PLAN.queries[1:])),
    ]
    assert len({PLAN.sha256, *(other.sha256 for other in others)}) == 5
    assert replace(PLAN, commitment=None).sha256 == PLAN.sha256


@given(st.data())
def test_a_damaged_plan_is_refused_by_its_own_error(data):
    """Whatever stands in the place of any field, of the plan or of a query."""
    junk = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
    fields = json.loads(json.dumps(FIELDS))
    place = fields if data.draw(st.booleans()) else fields["queries"][data.draw(st.integers(0, 11))]
    name = data.draw(st.sampled_from(sorted(place)))
    if data.draw(st.booleans()):
        place[name] = data.draw(junk)
    else:
        del place[name]
    with suppress(BundleError):  # A number in the place of another may still be a plan.
        CoinPlan.from_json(fields)


@pytest.mark.parametrize(
    "own",
    [[0.5, 0.5], [float("nan"), 0.5, 0.5], [-0.1, 0.6, 0.5], [0, 0, 0]],
)
def test_the_models_own_answers_are_probabilities(own):
    """One for each class, finite, not below 0."""
    fields = json.loads(json.dumps(FIELDS))
    fields["queries"][0]["own"] = own
    with pytest.raises(BundleError, match="own answers"):
        CoinPlan.from_json(fields)


def test_an_input_counts_once_and_is_valid():
    """The same input twice, one out of the domain, one too short, and a label of another task."""
    query = FIELDS["queries"][0]
    high = base64.b64encode(np.full(4, 7, "<f4").tobytes()).decode()
    for change, words in (
        (dict(FIELDS["queries"][1]), "twice"),
        (query | {"input": high}, "not valid"),
        (query | {"input": "AAAA"}, "shape"),
        (query | {"served": "zebra"}, "no label"),
        (query | {"served": [0.5]}, "3 scores"),
    ):
        with pytest.raises(BundleError, match=words):
            CoinPlan.from_json(FIELDS | {"queries": [change, *FIELDS["queries"][1:]]})


def test_a_huge_or_missing_file_is_refused(tmp_path, monkeypatch):
    """Before it is parsed."""
    path = tmp_path / "plan.json"
    with pytest.raises(BundleError, match="cannot read"):
        CoinPlan.load(path)
    monkeypatch.setattr("metav_audit.bundle.coins.MAX_PLAN_BYTES", 100)
    PLAN.save(path)
    with pytest.raises(BundleError, match="is larger"):
        CoinPlan.load(path)
