"""Rank among siblings: exact for a suspect that owes nothing to the target, small for one that does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.bundle.forms import siblings
from metav_audit.task import LOG_FLOOR, ClassScores, Features, OutputView, Quantities
from metav_audit.task.outputs.values import Quantity

QUERIES, CLASSES = 12, 4
SPACE = ClassScores(tuple(f"class {index}" for index in range(CLASSES)))


def answers(rng, count, near=None, distance=1.0):
    """Log-probabilities of shape (count, N, D), around ``near`` where it is given."""
    logits = rng.normal(scale=2 * distance, size=(count, QUERIES, CLASSES)) + (0 if near is None else near)
    logs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return np.maximum(logs, LOG_FLOOR).astype(np.float32)


def table(rng, models=20, *, labelled=True):
    base = rng.normal(scale=2, size=(QUERIES, CLASSES))
    tensors = {"models": answers(rng, models, base), "references": answers(rng, 6, base, 2.0)}
    return {**tensors, "least": np.log(np.array([1e-4], np.float32))} if labelled else tensors


def p_of(tensors, values, mask=None):
    mask = np.ones(values.shape, bool) if mask is None else mask
    return MetaVerifier(VerifierKind.SIBLINGS, tensors).ranked(values, mask)[1]


def test_a_suspect_that_owes_nothing_to_any_model_gets_every_rank_equally_often():
    """Each of 20 models plays the target in turn, so that the mean over them is exact, whatever the suspect."""
    rng = np.random.default_rng(0)
    tensors = table(rng)
    suspects = answers(rng, 10, distance=1.5)
    found = []
    for player in range(20):
        order = np.r_[player, np.delete(np.arange(20), player)]
        found.append(p_of({**tensors, "models": tensors["models"][order]}, suspects))
    for ranks in np.stack(found, axis=1):
        assert np.allclose(np.sort(ranks), np.arange(1, 21) / 20)


def test_a_noisy_copy_comes_first_and_scores_high():
    """Of the target itself, and with a little noise."""
    rng = np.random.default_rng(1)
    tensors = table(rng)
    own = tensors["models"][:1]
    copies = np.concatenate([own, np.minimum(own + 0.3 * rng.normal(size=own.shape), 0)])
    verifier = MetaVerifier(VerifierKind.SIBLINGS, tensors)
    assert p_of(tensors, copies.astype(np.float32)).tolist() == [1 / 20, 1 / 20]
    assert verifier.scores(copies.astype(np.float32), np.ones(copies.shape, bool)).min() > 0.9


def test_equal_likeness_counts_against_the_target():
    """A sibling that answers as the target does is as near."""
    tensors = table(np.random.default_rng(2))
    tensors["models"][7] = tensors["models"][0]
    assert p_of(tensors, tensors["models"][:1]).tolist() == [2 / 20]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_queries_without_an_answer_count_for_nothing(seed):
    """As if neither suspect nor siblings had been asked them."""
    rng = np.random.default_rng(seed)
    tensors, suspect = table(rng), answers(rng, 1)
    kept = rng.random(QUERIES) < 0.6
    kept[0] = True
    mask = np.broadcast_to(kept[None, :, None], suspect.shape)
    fewer = {name: each if name == "least" else each[:, kept] for name, each in tensors.items()}
    part = np.where(mask, suspect, 0).astype(np.float32)
    assert p_of(tensors, part, mask.copy()) == p_of(fewer, suspect[:, kept])


@pytest.mark.parametrize("view", [OutputView(label_only=True), OutputView(top=2), OutputView(decimals=2)], ids=str)
def test_siblings_are_seen_through_the_suspect_s_view(view):
    """The target through any view is still the first."""
    tensors = table(np.random.default_rng(3))
    verifier = MetaVerifier(VerifierKind.SIBLINGS, tensors).through(view, SPACE)
    shown = view.apply(Features(tensors["models"], np.ones(tensors["models"].shape, bool)), SPACE)
    own = verifier.ranked(shown.values[:1], shown.mask[:1])[1]
    assert own.tolist() == [1 / 20]
    scores = verifier.scores(shown.values, shown.mask)
    assert scores[1:].max() < scores[0]


def test_values_are_compared_without_a_floor():
    """Of regressions, in units of their own."""
    rng = np.random.default_rng(4)
    tensors = {"models": rng.normal(size=(20, 9, 1)).astype(np.float32)}
    tensors["references"] = rng.normal(size=(5, 9, 1)).astype(np.float32)
    space = Quantities((Quantity("dose", 0.0, 1.0),))
    verifier = MetaVerifier(VerifierKind.SIBLINGS, tensors).through(OutputView(decimals=1), space)
    rounded = np.round(tensors["models"][:1], 1)
    assert verifier.ranked(rounded, np.ones(rounded.shape, bool))[1].tolist() == [1 / 20]


@pytest.mark.parametrize("alone", [False, True])
def test_an_independent_reference_gives_the_same_likeness(alone):
    """Step by step as the module's docstring has it, one suspect at a time, by another way of taking out the usual."""
    rng = np.random.default_rng(5)
    space, view = SPACE, OutputView(label_only=alone)
    tensors = table(rng)
    shown = view.apply(Features(answers(rng, 3), np.ones((3, QUERIES, CLASSES), bool)), space)
    verifier = MetaVerifier(VerifierKind.SIBLINGS, tensors).through(view, space)
    exact = {name: each.astype(np.float64) for name, each in verifier.tensors.items()}
    found = siblings.likeness_of(exact, shown.values.astype(np.float64), shown.mask)
    least = exact["least"][0]
    models = np.maximum(exact["models"], least)
    mean, spread = models.mean(axis=0), models.std(axis=0)

    def deviations(one):
        if alone:
            return (np.maximum(one, least) - mean).ravel()
        return np.clip((np.maximum(one, least) - mean) / (spread + 1e-3 * spread.max() + 1e-9), -3, 3).ravel()

    usual = np.stack([deviations(each) for each in exact["references"]])
    usual = usual / np.linalg.norm(usual, axis=1, keepdims=True)
    # Ridge regression on the references' deviations, as an augmented least-squares problem.
    augmented = np.concatenate([usual.T, np.sqrt(2) * np.eye(len(usual))])

    def left(one):
        fitted = np.linalg.lstsq(augmented, np.concatenate([one, np.zeros(len(usual))]), rcond=None)[0]
        return one - usual.T @ fitted

    shares = np.exp(tensors["models"].astype(np.float64))
    filled = np.where(shown.mask, shown.values, LOG_FLOOR) if alone else shown.values
    for suspect, row in zip(filled.astype(np.float64), found, strict=True):
        for number, model in enumerate(exact["models"]):
            own = (shares[number] - shares.mean(axis=0)).ravel() if alone else deviations(model)
            one, other = left(deviations(suspect)), left(own)
            cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
            assert row[number] == pytest.approx(cosine, abs=1e-6)
