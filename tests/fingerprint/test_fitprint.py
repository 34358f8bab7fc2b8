"""Queries that spell target bits: the objective, and what comes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metav_audit.bundle import TargetBits, VerifierKind, target_bits
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.fitprint import SpellingSettings, margins, optimise_spelling, spelling_loss
from tests.builders import MARK
from tests.fingerprint.test_metav import DOMAIN, SPACE, TARGET, ZOO, model

STARTS = DOMAIN.sample(20, np.random.default_rng(0))
WANTED = target_bits(MARK, 20, 2, 4)


def optimise(seed=0, wanted=WANTED, **settings):
    torch.set_num_threads(1)
    chosen = SpellingSettings(**{"steps": 60, "models": 3, "input_rate": 0.03, **settings})
    return optimise_spelling(ZOO, STARTS, wanted, chosen, seed)


def scores(verifier, models, inputs):
    answers = features_of_all(models, inputs, SPACE)
    return verifier.scores(answers, np.ones(answers.shape, bool))


def test_the_loss_by_hand():
    """Three logistic terms: the positives' soft counts, the independents', and the target's own margins."""
    margin = torch.tensor([[[0.5, -0.2]], [[1.0, 2.0]], [[-0.3, 0.1]]], dtype=torch.float64)
    settings = SpellingSettings(goal=0.8, sharpness=8.0)

    def softplus(value):
        return math.log1p(math.exp(value))

    soft = [(math.tanh(float(one)) + math.tanh(float(two))) / 2 for one, two in margin[:, 0]]
    by_hand = (softplus(8 * (0.8 - soft[0])) + softplus(8 * (0.8 - soft[1]))) / 2 + softplus(8 * soft[2])
    by_hand += (softplus(1 - 0.5) + softplus(1.2)) / 2
    assert float(spelling_loss(margin, 1, settings)) == pytest.approx(by_hand, rel=1e-9)


def test_margins_by_hand():
    """The mean log-probability of the plus side over that of the minus side, with the bit's sign."""
    wanted = TargetBits(np.float32([[1, -1]]), np.float32([[[1, -1, -1], [-1, 1, -1]]]))
    found = margins(torch.tensor([[[-1.0, -2.0, -4.0]]]), wanted)
    assert found.tolist() == [[[2.0, -0.5]]]


def test_the_target_and_fresh_copies_spell_more_than_strangers():
    """Inputs lie on the grid; copies that the fit never saw spell more bits than every unseen independent."""
    inputs, verifier = optimise()
    fresh = [TARGET, *(model(seed, distance=0.1) for seed in range(20, 28))]
    strangers = [model(seed, distance=3.0) for seed in range(200, 208)]
    assert np.array_equal(DOMAIN.project(inputs), inputs)
    assert scores(verifier, fresh, inputs).min() > scores(verifier, strangers, inputs).max()
    assert scores(verifier, [TARGET], inputs)[0] > scores(verifier, [TARGET], STARTS)[0]


def test_strangers_spell_about_half():
    """Unseen independents are at chance, not beyond it on either side."""
    inputs, verifier = optimise()
    strangers = [model(seed, distance=3.0) for seed in range(300, 340)]
    assert 0.35 < scores(verifier, strangers, inputs).mean() < 0.65


def test_bits_and_splits_are_kept_as_they_were_given():
    """The optimisation moves queries alone."""
    _, verifier = optimise(steps=3)
    assert verifier.kind is VerifierKind.BITS
    assert np.array_equal(verifier.tensors["bits"], WANTED.bits)
    assert np.array_equal(verifier.tensors["splits"], WANTED.splits)


def test_the_seed_decides():
    """The same seed gives the same queries, another seed or other bits give others."""
    other_bits = TargetBits(-WANTED.bits, WANTED.splits)
    first, again, seeded, spelled = optimise(), optimise(), optimise(seed=1), optimise(wanted=other_bits)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], seeded[0])
    assert not np.array_equal(first[0], spelled[0])
