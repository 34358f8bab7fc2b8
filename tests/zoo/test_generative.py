"""Generators are trained against a discriminator, and measured by the energy distance to real examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.zoo.generative import Discriminator, descend_against, quality
from metav_audit.zoo.training import seeded

LATENTS = torch.randn(200, 4, generator=seeded(0))
EXAMPLES = 0.3 + 0.1 * torch.randn(200, 3, generator=seeded(1))


def maker():
    """A linear generator that starts away from the examples."""
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 4, generator=seeded(2)))
        model.bias.fill_(2.0)
    return model


def trained_maker(seed=0, **settings):
    """It after training; ``settings`` override the usual ones."""
    model = maker()
    usual = {"epochs": 25, "rate": 0.02, "generator": seeded(seed)}
    descend_against(model, list(model.parameters()), EXAMPLES, LATENTS, **(usual | settings))
    return model


def test_training_brings_a_generator_near_to_the_examples():
    """What it makes lies nearer afterwards, and it is left for use."""
    model = trained_maker()
    assert quality(model, LATENTS, EXAMPLES) > quality(maker(), LATENTS, EXAMPLES)
    assert not model.training


def test_the_same_seed_gives_the_same_generator():
    """To the bit, and another seed gives another one."""
    one, again, other = (trained_maker(seed, epochs=2) for seed in (3, 3, 4))
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight, other.weight)


def test_it_may_stop_early():
    """After a share of the steps; what follows each step is called as often."""
    counts = []
    for stop in (1.0, 0.5):
        calls = []
        trained_maker(epochs=2, stop=stop, after_step=lambda calls=calls: calls.append(1))
        counts.append(len(calls))
    assert counts[1] == counts[0] / 2


def test_a_training_that_diverges_says_so():
    """The loss is not finite."""
    with pytest.raises(DataError, match="training diverged"):
        trained_maker(epochs=1, rate=float("inf"))


def test_quality_is_the_energy_distance_by_hand():
    """1 - E(made, real) / E(mean, real), with E written out in numpy."""
    model = maker()
    real, made = EXAMPLES.numpy().astype(float), model(LATENTS).detach().numpy().astype(float)

    def apart(one, other):
        return np.linalg.norm(one[:, None] - other[None], axis=2).mean()

    def energy(one, other):
        return 2 * apart(one, other) - apart(one, one) - apart(other, other)

    by_hand = 1 - energy(made, real) / energy(real.mean(axis=0, keepdims=True), real)
    assert quality(model, LATENTS, EXAMPLES) == pytest.approx(by_hand, rel=1e-3)


def test_a_generator_of_the_examples_themselves_is_the_best():
    """Quality 1 for the examples, 0 for their mean."""
    assert quality(nn.Identity(), EXAMPLES, EXAMPLES) == pytest.approx(1, abs=1e-4)
    mean = nn.Linear(4, 3)
    with torch.no_grad():
        mean.weight.zero_()
        mean.bias.copy_(EXAMPLES.mean(dim=0))
    assert quality(mean, LATENTS, EXAMPLES) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (1, 2, 2), (12,)])
def test_a_discriminator_takes_any_shape(shape):
    """Images by convolutions, small ones and vectors by a perceptron: one logit an example."""
    assert Discriminator(shape)(torch.zeros(5, *shape)).shape == (5,)
