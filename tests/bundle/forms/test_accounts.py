"""The form accounts: a rank among siblings that knows neither the target nor the account, by inputs of a log."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.task import ClassScores, Features, OutputView, Quantities
from metav_audit.task.outputs import Quantity

SPACE = ClassScores(("a", "b", "c"))
K, N, ACCOUNTS = 19, 24, 3


def logs(rng: np.random.Generator, count: int, sharp: float = 3.0) -> np.ndarray:
    raw = sharp * rng.normal(size=(count, N, 3))
    return (raw - np.log(np.exp(raw).sum(axis=2, keepdims=True))).astype(np.float32)


@pytest.fixture(scope="module")
def tensors():
    rng = np.random.default_rng(0)
    return {
        "models": logs(rng, K + 1),
        "references": logs(rng, 6),
        "least": np.log(np.array([1e-4], np.float32)),
        "accounts": (np.arange(N) % ACCOUNTS).astype(np.float32),
    }


def through(tensors, view: OutputView, answers: np.ndarray):
    shown = view.apply(Features(answers, np.ones(answers.shape, bool)), SPACE)
    return MetaVerifier(VerifierKind.ACCOUNTS, tensors).through(view, SPACE), shown


@pytest.mark.parametrize("view", [OutputView(), OutputView(label_only=True), OutputView(decimals=1)])
def test_the_target_is_first_and_so_would_be_any_other_in_its_place(tensors, view):
    """Whatever an API shows: with the models in another order the ranks go with them."""
    verifier, shown = through(tensors, view, tensors["models"])
    ranks = verifier.ranked(shown.values, shown.mask)[1]
    assert ranks[0] == 1 / (K + 1)
    order = np.random.default_rng(1).permutation(K + 1)
    turned, again = through({**tensors, "models": tensors["models"][order]}, view, tensors["models"])
    assert turned.ranked(again.values, again.mask)[1][order[0]] == 1 / (K + 1)


@pytest.mark.parametrize("label_only", [False, True])
def test_p_values_of_innocents_are_those_of_chance(tensors, label_only):
    """Each model in turn as the target: its rank is uniform, exactly, for every suspect whatsoever."""
    view = OutputView(label_only=label_only)
    strangers = logs(np.random.default_rng(2), 30, sharp=1.0)
    told = []
    for player in range(K + 1):
        order = [player, *(each for each in range(K + 1) if each != player)]
        verifier, shown = through({**tensors, "models": tensors["models"][order]}, view, strangers)
        told.append(verifier.ranked(shown.values, shown.mask)[1])
    for share in (0.05, 0.1, 0.5):
        assert (np.array(told) <= share + 1e-9).mean(axis=0).max() <= share + 1e-9


def test_what_learnt_from_one_account_points_to_it(tensors):
    """There and nowhere else it answers as the target; the least p-value is the verdict's."""
    mine = tensors["accounts"] == 1
    stranger = logs(np.random.default_rng(3), 1)
    thief = np.where(mine[None, :, None], tensors["models"][:1], stranger)
    verifier, shown = through(tensors, OutputView(label_only=True), thief)
    near, p_values = (each[0] for each in verifier.by_account(shown.values, shown.mask))
    assert near.argmax() == p_values.argmin() == 1
    assert p_values.min() == verifier.ranked(shown.values, shown.mask)[1][0] == 1 / (K + 1)
    assert MetaVerifier(VerifierKind.SIBLINGS, tensors).by_account(shown.values, shown.mask) is None


def test_what_the_target_alone_gets_wrong_weighs_most(tensors):
    """A label that all give tells nothing; one that the target gives alone tells all, whatever model it is."""
    same = np.full((K + 1, N, 3), np.log(0.05), np.float32)
    same[:, :, 0] = np.log(0.9)
    odd = same.copy()
    odd[0, 0], odd[5, 1] = odd[0, 0][[1, 0, 2]], odd[5, 1][[1, 0, 2]]
    one = {**tensors, "models": odd, "references": same[:6], "accounts": np.zeros(N, np.float32)}
    for player in (0, 5):
        verifier, shown = through(one, OutputView(label_only=True), odd[player : player + 1])
        assert verifier.ranked(shown.values, shown.mask)[1][0] == (1 / (K + 1) if player == 0 else 1.0)


def test_queries_that_were_not_answered_do_not_count(tensors):
    """An account whose queries all went unanswered points nowhere, and the others as before."""
    verifier, shown = through(tensors, OutputView(), tensors["models"][:1])
    gone = tensors["accounts"] == 2
    mask = shown.mask & ~gone[None, :, None]
    near, p_values = (each[0] for each in verifier.by_account(np.where(mask, shown.values, 0), mask))
    full = verifier.by_account(shown.values, shown.mask)[0][0]
    assert np.allclose(near[:2], full[:2])
    assert (near[2], p_values[2]) == (0, 1)


def test_values_are_compared_without_labels():
    """Of a regression, whose models differ by their deviations alone."""
    rng = np.random.default_rng(4)
    space = Quantities((Quantity("a", 0.0, 1.0),))
    models = rng.normal(size=(K + 1, N, 1)).astype(np.float32)
    held = {"models": models, "references": rng.normal(size=(5, N, 1)).astype(np.float32)}
    verifier = MetaVerifier(VerifierKind.ACCOUNTS, {**held, "accounts": np.zeros(N, np.float32)})
    near = models[:1] + 0.1
    ranks = verifier.through(OutputView(), space).ranked(near, np.ones(near.shape, bool))[1]
    assert ranks.tolist() == [1 / (K + 1)]
