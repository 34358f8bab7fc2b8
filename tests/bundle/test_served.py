"""A plan of served answers: written, read, and refused where anything in it does not fit."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle import ServedPlan, ServedQuery
from metav_audit.errors import BundleError
from metav_audit.task.texts import Shows

QUERY = ServedQuery(
    "acme", "2026-03-01T10:00:00Z", "a prompt", "plain", 1.0, " an answer", "", (" an answer", " other", ""),
    (-3.0, -4.0, -1.5),
)  # fmt: skip
PLAN = ServedPlan(Shows.LOG_PROBABILITIES, "m-1", (QUERY, replace(QUERY, account="zenith")), {"draw": "00"}, {"why": 2})
FIELDS = json.loads(json.dumps(PLAN.to_json()))


def test_a_plan_comes_back_as_it_was(tmp_path):
    """File, hash and passages; only its owner may read it."""
    path = tmp_path / "plan.json"
    PLAN.save(path)
    read = ServedPlan.load(path)
    assert (read, read.sha256) == (PLAN, PLAN.sha256)
    assert path.stat().st_mode & 0o077 == 0
    assert [each.continuations for each in read.inputs] == [QUERY.continuations] * 2
    path.write_bytes(PLAN.to_bytes().replace(b"1.0", b"1.00"))
    with pytest.raises(BundleError, match="not as this program writes it"):
        ServedPlan.load(path)


@given(st.data())
def test_a_damaged_plan_is_refused_by_its_own_error(data):
    """Whatever stands in the place of any field, of the plan or of a query."""
    junk = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3)
    )
    fields = json.loads(json.dumps(FIELDS))
    place = fields if data.draw(st.booleans()) else fields["queries"][data.draw(st.integers(0, 1))]
    name = data.draw(st.sampled_from(sorted(place)))
    if data.draw(st.booleans()):
        place[name] = data.draw(junk)
    else:
        del place[name]
    with suppress(BundleError):  # A number in the place of another may still be a plan.
        ServedPlan.from_json(fields)


@pytest.mark.parametrize(("change", "words"), [
    ({"answer": " another"}, "not what was served"), ({"own": (-1.0,)}, "has not 3 continuations"),
    ({"said": " an", "continuations": (" answer", "", " x")}, "within an answer"), ({"prompt": ""}, "without a prompt"),
    ({"prompt": "\ud800"}, "surrogate"), ({"prompt": "x" * 100_001}, "at most 100000"),
    ({"account": "zenith"}, "twice"),
])  # fmt: skip
def test_a_query_fits_its_answer(change, words):
    """And its texts are texts."""
    with pytest.raises(BundleError, match=words):
        replace(PLAN, queries=(replace(QUERY, **change), PLAN.queries[1]))


def test_tokens_are_asked_within_an_answer():
    """The token after what was said, or its end."""
    inside = replace(QUERY, said=" an", continuations=(" answer", " apple", ""))
    end = replace(QUERY, account="z", said=" an answer", continuations=("", " apple", " b"))
    assert replace(PLAN, shows=Shows.TOKENS, queries=(inside, end)).accounts == ("acme", "z")
    with pytest.raises(BundleError, match="not what was served"):
        replace(PLAN, shows=Shows.TOKENS, queries=(replace(end, said=" an"),))
