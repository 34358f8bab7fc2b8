"""What becomes of a picture before a model sees it, and of a model's answers after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.cli import evaluate as command
from metav_audit.errors import ConfigurationError
from metav_audit.evaluation.conditions import Condition, conditions_of
from metav_audit.evaluation.run import evaluate_project
from metav_audit.evaluation.wire import NOISES, WIRES, through
from metav_audit.task import ClassScores, ImageDomain, Quantities, with_noise
from metav_audit.task.domains import LatentDomain
from metav_audit.task.outputs import Quantity

DOMAINS = st.builds(
    ImageDomain, st.sampled_from([1, 3]), st.integers(2, 9), st.integers(2, 9), st.just(-1.0), st.sampled_from([0.5, 1])
)


@given(DOMAINS, st.integers(0, 2**31))
def test_a_png_loses_nothing(domain, seed):
    """Valid inputs come through a PNG as they are."""
    inputs = domain.sample(3, np.random.default_rng(seed))
    assert np.allclose(through("png", domain, inputs), inputs, atol=1e-6)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_wire_keeps_shape_and_range(wire, channels):
    """What comes out is an input of the same shape, near to what went in where that is smooth."""
    domain = ImageDomain(channels, 16, 12, -1.0, 1.0)
    smooth = np.linspace(-1, 1, 12, dtype=np.float32) * np.ones((2, channels, 16, 1), np.float32)
    seen = through(wire, domain, domain.project(smooth))
    assert seen.shape == smooth.shape
    domain.check(seen, "seen")
    assert np.abs(seen - smooth).mean() < 0.05


def test_resizing_blurs():
    """Noise loses contrast on the way to twice the size and back; a JPEG of it has other levels."""
    domain = ImageDomain(1, 8, 8)
    noise = domain.sample(4, np.random.default_rng(0))
    assert through("resized", domain, noise).std() < 0.9 * noise.std()
    assert not np.allclose(through("jpeg-90", domain, noise), noise, atol=1e-3)


def test_vectors_go_through_no_picture_s_wire():
    """The message names the option and the inputs."""
    with pytest.raises(ConfigurationError, match="--wire png is for pictures, and the task's inputs are latent"):
        through("png", LatentDomain(3), np.zeros((1, 3), np.float32))


@pytest.mark.parametrize("wire", NOISES)
def test_noise_is_as_strong_as_its_name_says(wire):
    """Noisy probabilities add up to 1; those that are far from 0, and values, are off by that standard deviation."""
    classes, size = ClassScores(("a", "b", "c")), (2000, 4, 3)
    even = np.full(size, np.log(1 / 3), np.float32)
    shares = np.exp(with_noise(even, NOISES[wire], classes, 1))
    assert np.allclose(shares.sum(axis=2), 1, atol=1e-5)
    # Bringing the sum of three to 1 takes a third of the noise's variance away.
    assert shares.std() == pytest.approx(NOISES[wire] * np.sqrt(2 / 3), rel=0.05)
    doses = Quantities((Quantity("dose", 30.0, 10.0),))
    values = with_noise(np.zeros((2000, 4, 1), np.float32), NOISES[wire], doses, 1)
    assert values.std() == pytest.approx(NOISES[wire], rel=0.05)


def test_test_models_are_asked_what_arrives_and_calibration_is_not(toy):
    """A PNG changes no score; resizing changes them, and not the likelihood ratios' table."""
    conditions = conditions_of([], [], ["png", "resized", "noise-0.05"])
    assert conditions[1:] == [Condition(wire="png"), Condition(wire="resized"), Condition(wire="noise-0.05")]
    plain, png, resized, noise = evaluate_project(toy.workshop.project, ["metav"], conditions, jobs=1)
    assert np.allclose(plain.scores, png.scores, atol=1e-5)
    assert not np.allclose(plain.scores, resized.scores, atol=1e-3)
    assert not np.allclose(plain.scores, noise.scores, atol=1e-3)
    assert resized.weight == noise.weight == plain.weight


def test_the_command_line_offers_every_wire():
    """Names are listed there once more, so that --help needs no torch."""
    assert (*WIRES, *NOISES) == command.WIRES
