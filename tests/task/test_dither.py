"""Coins: what they move, what they leave alone, and the file that holds their key."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metav_audit.errors import ConfigurationError, SecretError
from metav_audit.task import Dither, ScoreKind, input_bytes, leaders, leads, make_dither, read_dither

KEY = bytes(range(32))
logits = arrays(np.float64, (6, 4), elements=st.floats(-30, 30))
distinct = arrays(np.float64, (6, 4), elements=st.integers(-150, 150).map(lambda n: n / 5), unique=True)
"""What is equal in one form may not be so in another."""
sides = arrays(np.float64, 6, elements=st.sampled_from([-1.0, 1.0]))
sizes = st.tuples(st.floats(0.1, 5), st.floats(0, 1)).map(lambda pair: Dither(KEY, pair[0], pair[0] * pair[1]))


def softmax(values: np.ndarray) -> np.ndarray:
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@given(logits, sides, sizes)
def test_labels_change_only_where_the_model_was_undecided(raw, coins, dither):
    """And then to the second class, never to a third; heads changes none."""
    own = softmax(raw)
    served, both, lead = dither.served(own, coins), leaders(own), leads(own)
    changed = served.argmax(axis=1) != both[:, 0]
    assert (lead[changed] < dither.undecided).all()
    assert (coins[changed] < 0).all()
    # Where a tie is left the earlier class is named, which may be a third.
    tied = np.sort(served, axis=1)[:, -1] - np.sort(served, axis=1)[:, -2] < 1e-9
    assert (served.argmax(axis=1)[changed & ~tied] == both[changed & ~tied, 1]).all()


@given(logits, sides, sizes)
def test_what_is_served_are_probabilities_and_others_stay(raw, coins, dither):
    """The two likeliest classes keep what they have together; every other class keeps its own."""
    own = softmax(raw)
    served = dither.served(own, coins)
    others = np.ones(own.shape, bool)
    np.put_along_axis(others, leaders(own), values=np.False_, axis=1)
    np.testing.assert_array_equal(served[others], own[others])
    np.testing.assert_allclose(served.sum(axis=1), own.sum(axis=1), rtol=1e-12)
    assert (served >= 0).all()


@given(distinct, sides, sizes)
def test_every_form_of_scores_is_moved_alike(raw, coins, dither):
    """Probabilities, percentages, log-probabilities and logits of one answer are served as one answer."""
    own = softmax(raw)
    served = dither.served(own, coins)
    np.testing.assert_allclose(dither.served(100 * own, coins, ScoreKind.PERCENT), 100 * served, rtol=1e-9)
    np.testing.assert_allclose(softmax(dither.served(raw, coins, ScoreKind.LOGIT)), served, rtol=1e-6, atol=1e-12)
    logs = dither.served(np.log(own), coins, ScoreKind.LOG_PROBABILITY)
    np.testing.assert_allclose(np.exp(logs), served, rtol=1e-6, atol=1e-12)


def test_a_lead_moves_by_epsilon():
    """By so many nats up or down; a decided label stays, just ahead."""
    own = np.array([[0.55, 0.45], [0.9, 0.1], [0.5, 0.5]])
    dither = Dither(KEY, epsilon=3.0, undecided=0.5)
    up, down = (leads(dither.served(own, np.full(3, side))) for side in (1.0, -1.0))
    np.testing.assert_allclose(up - leads(own), 3.0)
    np.testing.assert_allclose(down, [3.0 - np.log(0.55 / 0.45), 0.05, 3.0])
    assert dither.served(own, -np.ones(3)).argmax(axis=1).tolist() == [1, 0, 1]


def test_coins_are_keyed_steady_and_fair():
    """An account's coin of an input is always the same; another key, account or input has its own."""
    inputs = input_bytes(np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32))
    mine = Dither(KEY).coins("acme", inputs)
    np.testing.assert_array_equal(mine, Dither(KEY).coins("acme", inputs))
    for other in (Dither(KEY).coins("acme2", inputs), Dither(bytes(32)).coins("acme", inputs), np.roll(mine, 1)):
        assert abs((mine * other).mean()) < 0.06
    assert abs(mine.mean()) < 0.06
    # An account's name cannot run into the input.
    assert Dither(KEY).coins("a", [b"bc" * 40]) is not None
    assert (Dither(KEY).coins("a", inputs) != Dither(KEY).coins("", [b"a" + each for each in inputs])).any()


def test_an_input_has_one_spelling():
    """Noughts without a sign, float32, little-endian: what the request log holds."""
    assert input_bytes(np.array([[-0.0, 1.0]], np.float32)) == [np.array([0.0, 1.0], "<f4").tobytes()]


@pytest.mark.parametrize("sizes", [(0.0, 0.0), (-1.0, 0.0), (1.0, 2.0), (1.0, -0.1), (float("nan"), 0.0)])
def test_sizes_out_of_range_are_refused(sizes):
    """Epsilon above 0, undecided between 0 and epsilon."""
    with pytest.raises(ConfigurationError, match="epsilon"):
        Dither(KEY, *sizes)


def test_a_dither_s_file_is_for_its_owner_alone(tmp_path, monkeypatch):
    """It comes back as it was, from the file or a variable; it is never overwritten, nor read where others may."""
    path = tmp_path / "coins.json"
    made = make_dither(path, 2.0, 0.5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_dither(path, {}) == made == read_dither("env:COINS", {"COINS": path.read_text()})
    assert made.key.hex() not in repr(made)
    with pytest.raises(ConfigurationError, match="never overwritten"):
        make_dither(path, 2.0, 0.5)
    path.chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        read_dither(path, {})
    with pytest.raises(SecretError, match="not set"):
        read_dither("env:NOTHING", {})


@pytest.mark.parametrize(
    "change",
    [
        {"key": "ff"},
        {"key": 7},
        {"epsilon": "x"},
        {"epsilon": None},
        {"more": 1},
        {"format": "other"},
        {"undecided": 9},
    ],
)
def test_a_damaged_file_is_refused_without_its_secret(tmp_path, change):
    """In one sentence that repeats nothing of the key."""
    path = tmp_path / "coins.json"
    made = make_dither(path, 2.0, 0.5)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigurationError) as refused:
        read_dither(path, {})
    assert made.key.hex() not in str(refused.value)
