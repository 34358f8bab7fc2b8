"""Output spaces: canonical features of scores, of a regression's values and of generated tensors."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import Answer, ClassScores, GeneratedTensor, Quantities, ScoreKind, features
from metav_audit.task.outputs import Quantity, output_from_json

CLASSES = ClassScores(("a", "b", "c"))
DOSE = Quantities((Quantity("dose", 31.0, 17.0), Quantity("days", -2.0, 0.5)))
IMAGE = GeneratedTensor((1, 2, 3), -1.0, 1.0, 256)
SPACES = [CLASSES, DOSE, IMAGE, GeneratedTensor((4,))]


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_space_survives_json(space):
    """What to_json writes is read back as the same space."""
    assert output_from_json(json.loads(json.dumps(space.to_json()))) == space


@given(st.sampled_from(SPACES), st.integers(0, 2**31))
def test_what_is_shown_is_the_inverse_of_canonical(space, seed):
    """Values lead to features and back, but for clipping and levels."""
    raw = space.shown(np.random.default_rng(seed).uniform(-0.5, 0.0, (5, space.size)))
    again = space.shown(space.canonical(raw, space.score_kinds[0]))
    assert np.abs(again - raw).max() <= (1 / 255 if space is IMAGE else 1e-9)


@given(st.sampled_from(SPACES), st.integers(0, 2**31))
def test_distance_and_drift_are_zero_between_equal_answers_alone(space, seed):
    """Equal answers lie at 0; other ones do not, and a feature that is shown once alone is infinitely far."""
    one, other = np.random.default_rng(seed).uniform(-0.5, -0.1, (2, space.size))
    assert space.distance(one, one) == 0 == space.drift(one, one)
    assert space.distance(one, other) > 0 < space.drift(one, other)
    hidden = np.where(np.arange(space.size) == 0, np.nan, one)
    assert space.drift(one, hidden) == np.inf


def test_a_regression_s_features_are_standard_deviations():
    """(value - center) / scale, clipped at twenty."""
    found = DOSE.canonical(np.array([[48.0, -2.5], [1e9, -1e9]]), ScoreKind.VALUE)
    assert found.tolist() == [[1.0, -1.0], [20.0, -20.0]]


def test_a_generated_image_keeps_its_levels_alone():
    """An answer that is off by less than half a level gives the same features."""
    level = 2 / 255
    exact = -1 + level * np.arange(6)
    assert np.array_equal(
        IMAGE.canonical(exact, ScoreKind.VALUE), IMAGE.canonical(exact + 0.4 * level, ScoreKind.VALUE)
    )


REFUSED = [
    (IMAGE, (0.0, 0.0, 0.0, 0.0, 0.0, 255.0), ScoreKind.VALUE, "set low and high"),
    (DOSE, (1.0,), ScoreKind.VALUE, "has 1 numbers, the task has 2 values"),
    (DOSE, (1.0, float("nan")), ScoreKind.VALUE, "NaN"),
    (DOSE, (0.4, 0.6), ScoreKind.PROBABILITY, "the answers of a regression are: value"),
    (CLASSES, (0.4, 0.6, 0.0), ScoreKind.VALUE, "the answers of a classification are"),
]


@pytest.mark.parametrize(("space", "scores", "kind", "why"), REFUSED)
def test_an_answer_that_does_not_fit_is_refused(space, scores, kind, why):
    """Out of range, of another size, not finite, or of another kind: a sentence says which."""
    with pytest.raises(AnswerError, match=why):
        features([Answer(scores)], space, kind)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "ranking"}, "kind 'ranking' is unknown"),
        ({"kind": "regression"}, "lacks 'quantities'"),
        ({"kind": "regression", "quantities": []}, "at least one quantity"),
        ({"kind": "regression", "quantities": [{"name": "x", "center": 0, "scale": 0}]}, "scale above 0"),
        ({"kind": "regression", "quantities": [{"name": "x", "center": 0, "scale": 1}] * 2}, "not distinct"),
        ({"kind": "generation", "shape": [1, 0]}, "not supported"),
        ({"kind": "generation", "shape": [4], "low": 1.0, "high": 0.0}, "is no range"),
        ({"kind": "generation", "shape": [4], "levels": 1}, "levels"),
        ({"kind": "generation", "shape": [4], "colour": 1}, "not described rightly"),
        ({"kind": "classification", "labels": ["a"]}, "at least two labels"),
    ],
)
def test_a_space_that_cannot_be_is_refused(fields, why):
    """A field that is missing, unknown or out of range has its own sentence."""
    with pytest.raises(ConfigurationError, match=why):
        output_from_json(fields)


PICTURE = GeneratedTensor((3, 2, 4), -1.0, 1.0, 256)


def png(levels, form="PNG"):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(levels).save(file, form)
    return file.getvalue()


def test_a_picture_is_read_as_the_elements_it_shows():
    """Channels first, in the range that the task says."""
    levels = np.random.default_rng(0).integers(0, 256, (2, 4, 3), dtype=np.uint8)
    read = np.array(PICTURE.from_picture(png(levels))).reshape(PICTURE.shape)
    np.testing.assert_allclose(read, levels.transpose(2, 0, 1) / 127.5 - 1, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "no PNG or JPEG"),
        (png(np.zeros((2, 4, 3), np.uint8))[:-20], "no PNG or JPEG"),
        (png(np.zeros((2, 4, 3), np.uint8), "GIF"), "no PNG or JPEG"),
        (png(np.zeros((4, 2, 3), np.uint8)), "the task says"),
    ],
)
def test_what_is_no_such_picture_is_refused(content, why):
    """Nothing, half of one, another format, another size."""
    with pytest.raises(AnswerError, match=why):
        PICTURE.from_picture(content)


def test_generated_outputs_are_as_right_as_they_are_like_the_models():
    """Those of the pool are right, noise is not, and what is made so differently is less so."""
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(1, 16, PICTURE.size))
    pool = usual + 0.1 * rng.normal(size=(5, 16, PICTURE.size))
    shown = np.ones(pool.shape[1:], bool)
    like, alike, noise = (
        PICTURE.rightness(values, shown, usual[0], pool) for values in (usual[0], pool[0], rng.normal(size=shown.shape))
    )
    assert 1 > alike > like > 0.4 > noise > 0
    assert "0.43" in PICTURE.achieved(0.4321, 16)
