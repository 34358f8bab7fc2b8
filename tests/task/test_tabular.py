"""Rows of tables and latent vectors as inputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import TabularDomain
from metav_audit.task.domains import CategoryColumn, LatentDomain, NumberColumn, domain_from_json

NUMBERS = st.builds(
    lambda low, steps, step: (low, low + steps * step, step),
    st.sampled_from([-3.0, 0.0, 125.0, 0.25]),
    st.integers(1, 5000),
    st.sampled_from([1.0, 0.5, 0.1, 2.0, 0.01]),
)


@st.composite
def tables(draw):
    """Tables of numbers with whole and broken steps, and of categories."""
    numbers = [NumberColumn(f"n{at}", *draw(NUMBERS)) for at in range(draw(st.integers(0, 3)))]
    sizes = draw(st.lists(st.integers(2, 5), min_size=0 if numbers else 1, max_size=3))
    names = [CategoryColumn(f"c{at}", tuple(f"{at}/{index}" for index in range(size))) for at, size in enumerate(sizes)]
    return TabularDomain(tuple(draw(st.permutations([*numbers, *names]))))


LATENTS = st.builds(LatentDomain, st.integers(1, 9), st.sampled_from([1.0, 2.5, 3.0]), st.integers(0, 4))
DOMAINS = st.one_of(tables(), LATENTS)


@given(DOMAINS, st.integers(0, 2**31))
def test_projecting_twice_is_projecting_once(domain, seed):
    """What is projected is valid, and stays where it is bit by bit."""
    relaxed = np.random.default_rng(seed).normal(0, 2, (4, *domain.shape)).astype(np.float32)
    once = domain.project(relaxed)
    assert np.array_equal(domain.project(once), once)
    domain.check(once, "inputs")


@given(DOMAINS, st.integers(0, 2**31))
def test_a_sample_is_valid(domain, seed):
    """Drawn inputs need no projection."""
    drawn = domain.sample(5, np.random.default_rng(seed))
    assert np.array_equal(domain.project(drawn), drawn)


@given(tables(), st.integers(0, 2**31))
def test_a_row_arrives_as_the_model_s_input(domain, seed):
    """Written as JSON and read by who knows the columns, a row is the input that was sent."""
    sent = domain.sample(5, np.random.default_rng(seed))
    arrived = domain.encode(json.loads(json.dumps(domain.rows(sent))))
    assert np.allclose(arrived, sent, atol=1e-6)
    assert np.array_equal(domain.project(arrived), sent)


@given(tables(), st.integers(0, 2**31))
def test_a_row_is_what_a_schema_accepts(domain, seed):
    """Whole numbers are whole, numbers stay within their range, and categories are among those named."""
    for row in domain.rows(domain.sample(5, np.random.default_rng(seed))):
        for column in domain.columns:
            cell = row[column.name]
            if isinstance(column, CategoryColumn):
                assert cell in column.categories
            else:
                assert column.low - 1e-9 <= cell <= column.high + 1e-9
                assert isinstance(cell, int) == (column.low.is_integer() and column.step.is_integer())


@given(DOMAINS)
def test_a_domain_survives_json(domain):
    """What to_json writes is read back as the same domain."""
    assert domain_from_json(json.loads(json.dumps(domain.to_json()))) == domain


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "tabular"}, "lacks 'columns'"),
        ({"kind": "tabular", "columns": []}, "needs columns"),
        ({"kind": "tabular", "columns": [{"name": "x", "low": 1, "high": 1}]}, "low 1.0 must be below high"),
        ({"kind": "tabular", "columns": [{"name": "x", "low": 0, "high": 1e9}]}, "more than"),
        ({"kind": "tabular", "columns": [{"name": "x", "categories": ["a"]}]}, "at least two categories"),
        ({"kind": "tabular", "columns": [{"name": "x", "categories": ["a", "b"]}] * 2}, "distinct names"),
        ({"kind": "latent", "size": 0}, "not supported"),
        ({"kind": "latent", "size": 3, "bound": 0}, "bound"),
        ({"kind": "latent", "size": 3, "decimals": 9}, "decimals"),
    ],
)
def test_a_domain_that_cannot_be_is_refused(fields, why):
    """A field that is missing or out of range has its own sentence."""
    with pytest.raises(ConfigurationError, match=why):
        domain_from_json(fields)


def test_data_out_of_range_is_refused():
    """A row whose element leaves [0, 1] was not scaled as the task says."""
    with pytest.raises(DataError, match="leaves the task's range"):
        TabularDomain((NumberColumn("x", 0, 10),)).check(np.array([[7.0]]), "train x")
