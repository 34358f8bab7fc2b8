from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.audit.budget import BudgetSpentError, QueryBudget
from metav_audit.audit.retries import retry_after

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@given(st.integers(1, 50), st.integers(0, 60))
def test_the_budget_never_yields_more_than_its_ceiling(requests, spent):
    """Whatever was spent before, reservations end at the ceiling."""
    budget = QueryBudget(requests, 60, lambda: 0.0, spent)
    for _ in range(requests - spent):
        budget.reserve()
    with pytest.raises(BudgetSpentError):
        budget.reserve()
    assert budget.spent == max(requests, spent)


def test_the_budget_ends_with_its_time():
    """No reservation is made after the wall time, and the time left is never negative."""
    time = [0.0]
    budget = QueryBudget(10, 5, lambda: time[0])
    budget.reserve()
    time[0] = 5.0
    assert budget.seconds_left == 0
    with pytest.raises(BudgetSpentError, match="wall time"):
        budget.reserve()
    assert budget.spent == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Tue, 01 Jan 2030 00:00:10 GMT"}, 10),
        ({"retry-after": "Mon, 31 Dec 2029 00:00:00 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    """Seconds, milliseconds and dates are read; nonsense is no wish."""
    assert retry_after(headers, NOW) == seconds


@given(st.text())
def test_retry_after_never_fails(text):
    """Any text is a pause or none."""
    assert (retry_after({"retry-after": text}, NOW) or 0) >= 0
