"""Input domains: what is valid, and what arrives at the other end of the wire."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import ImageDomain
from metav_audit.task.domains import domain_from_json

RANGES = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-2.117, 2.64), (-0.5, 0.25)]


@st.composite
def domains(draw):
    """Grey and colour images of small and odd sizes, in common ranges, of any number of levels."""
    low, high = draw(st.sampled_from(RANGES))
    sides = st.integers(1, 5)
    return ImageDomain(draw(st.sampled_from([1, 3])), draw(sides), draw(sides), low, high, draw(st.integers(2, 256)))


@st.composite
def relaxed(draw):
    """A domain, and inputs around its range that lie on no grid."""
    domain = draw(domains())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    extent = domain.high - domain.low
    inputs = rng.uniform(domain.low - extent, domain.high + extent, (draw(st.integers(1, 4)), *domain.shape))
    return domain, inputs.astype(np.float32)


@given(relaxed())
def test_projecting_twice_is_projecting_once(case):
    """What is projected stays where it is, bit by bit, inside the range and on the grid."""
    domain, inputs = case
    once = domain.project(inputs)
    assert once.dtype == np.float32
    assert np.array_equal(domain.project(once), once)
    assert np.array_equal(domain.check(once, "x"), once)
    assert len(np.unique(once)) <= domain.levels


@given(relaxed())
def test_projecting_finds_the_nearest_level(case):
    """No level lies nearer to the clipped input than the one chosen."""
    domain, inputs = case
    step = (domain.high - domain.low) / (domain.levels - 1)
    distance = np.abs(domain.project(inputs).astype(np.float64) - domain.clip(inputs))
    assert distance.max() <= step / 2 * (1 + 1e-4)


@given(relaxed())
def test_what_is_projected_survives_a_png_exactly(case):
    """A reader of the PNG who scales it to the range and rounds to a level has the same bits."""
    domain, inputs = case
    sent = domain.project(inputs)
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in domain.png(sent)]
    channels_last = np.stack(pictures).reshape(len(sent), domain.height, domain.width, domain.channels)
    unit = channels_last.transpose(0, 3, 1, 2).astype(np.float64) / 255
    read = (domain.low + unit * (domain.high - domain.low)).astype(np.float32)
    assert np.array_equal(domain.project(read), sent)
    if domain.levels == 256:
        assert np.array_equal(read, sent)


@given(relaxed())
def test_what_is_projected_survives_json_exactly(case):
    """Numbers written as JSON and read as 32-bit floats have the same bits."""
    domain, inputs = case
    sent = domain.project(inputs)
    assert np.array_equal(np.asarray(json.loads(json.dumps(sent.tolist())), np.float32), sent)


@given(domains(), st.integers(0, 2**32))
def test_samples_are_valid_and_follow_the_seed(domain, seed):
    """Drawn inputs are fixed points of the projection, the same for the same seed."""
    drawn = domain.sample(3, np.random.default_rng(seed))
    assert drawn.shape == (3, *domain.shape)
    assert np.array_equal(domain.project(drawn), drawn)
    assert np.array_equal(domain.sample(3, np.random.default_rng(seed)), drawn)


@given(domains())
def test_a_domain_survives_its_description(domain):
    """to_json and domain_from_json are inverse, through text too."""
    assert domain_from_json(json.loads(json.dumps(domain.to_json()))) == domain


GOOD = ImageDomain(3, 4, 5, -1.0, 1.0)
BAD_INPUTS = {
    "a single input": (np.zeros((3, 4, 5)), "has shape"),
    "channels last": (np.zeros((2, 4, 5, 3)), "has shape"),
    "nothing": (np.zeros((0, 3, 4, 5)), "is empty"),
    "NaN": (np.full((1, 3, 4, 5), np.nan), "NaN or infinite"),
    "infinite": (np.full((1, 3, 4, 5), np.inf), "NaN or infinite"),
    "too large for a float": (np.full((1, 3, 4, 5), 1e300), "NaN or infinite"),
    "bytes": (np.full((1, 3, 4, 5), 255), "leaves the task's range"),
    "a little outside": (np.full((1, 3, 4, 5), 1.001), "leaves the task's range"),
    "text": (np.full((1, 3, 4, 5), "0"), "no real numbers"),
    "complex": (np.full((1, 3, 4, 5), 1j), "no real numbers"),
    "objects": (np.full((1, 3, 4, 5), None), "no real numbers"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_inputs_of_another_kind_are_refused(case):
    """Each kind of wrong input has a message of its own that names what was checked."""
    inputs, said = BAD_INPUTS[case]
    with pytest.raises(DataError, match=said) as caught:
        GOOD.check(inputs, "train x")
    assert str(caught.value).startswith("train x ")


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float64, np.bool_])
def test_any_real_numbers_in_the_range_are_taken(kind):
    """Integers and floats of any width become float32."""
    checked = GOOD.check(np.ones((2, 3, 4, 5), kind), "x")
    assert checked.dtype == np.float32
    assert (checked == 1).all()


BAD_FIELDS = [
    ({"channels": 2}, "1 or 3 channels"),
    ({"height": 0}, "not supported"),
    ({"width": 1 << 24}, "not supported"),
    ({"low": 1.0}, "no range"),
    ({"high": float("inf")}, "no range"),
    ({"low": float("nan")}, "no range"),
    ({"levels": 1}, "2 to 256 levels"),
    ({"levels": 257}, "2 to 256 levels"),
    ({"low": 1e6, "high": 1e6 + 1}, "too close"),
    ({"height": 4.5}, "whole numbers"),
    ({"channels": True}, "whole numbers"),
    ({"width": "5"}, "whole numbers"),
    ({"low": "0"}, "not described rightly"),
    ({"depth": 3}, "not described rightly"),
    ({"kind": "smell"}, "'smell' is unknown: use one of image"),
    ({"kind": None}, "is unknown"),
]


@pytest.mark.parametrize(("fields", "said"), BAD_FIELDS)
def test_a_domain_that_cannot_be_is_refused(fields, said):
    """Impossible shapes, ranges and levels are configuration errors of one line."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        domain_from_json({**GOOD.to_json(), **fields})
    assert "\n" not in str(caught.value)
