from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.audit.pace.budget import BudgetSpentError, QueryBudget


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
