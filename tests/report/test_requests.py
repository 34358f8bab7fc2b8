"""What a report says in words of the accounts whose requests were repeated."""

from __future__ import annotations

import dataclasses

import pytest

from metav_audit.report.requests import account_sentences, in_order
from metav_audit.verdict import AccountFinding, Verdict, VerdictOutcome


def account(name: str, p_value: float, nearness: float = 1.0) -> AccountFinding:
    return AccountFinding(name, 600, 16, 16, nearness, p_value)


@pytest.fixture
def verdict():
    blank = {each.name: None for each in dataclasses.fields(Verdict)}
    return Verdict(**{**blank, "outcome": VerdictOutcome.MATCH, "false_match_rate": 0.05})


@pytest.mark.parametrize(
    ("outcome", "p_values", "said"),
    [
        (
            VerdictOutcome.MATCH,
            (0.5, 0.025),
            "inputs that the account b sent to the owner's API are those of a model that",
        ),
        (VerdictOutcome.MATCH, (0.05, 0.025), "so do those to the inputs of a: p = 0.025"),
        (VerdictOutcome.INCONCLUSIVE, (0.5, 0.025), "nearest with the inputs of b: p = 0.025, all accounts considered"),
        (VerdictOutcome.INCONCLUSIVE, (0.5, 0.2), "point to none; they come nearest with the inputs of b: p = 0.2"),
        (VerdictOutcome.NO_MATCH, (1.0, 1.0), "point to none"),
    ],
)
def test_the_account_is_named_as_far_as_the_verdict_bears_it(verdict, outcome, p_values, said):
    """In a match as the one; else as the nearest, and that this alone is no match."""
    found = tuple(account(name, p_value) for name, p_value in zip("ab", p_values, strict=True))
    told = " ".join(account_sentences("ours", dataclasses.replace(verdict, outcome=outcome, accounts=found)))
    assert said in told
    assert "2 accounts" in told


def test_without_a_log_nothing_is_said(verdict):
    """Nor without a score."""
    assert not list(account_sentences("ours", verdict))


def test_among_equal_p_values_the_nearest_is_first():
    """As the figure has them."""
    found = account("a", 0.5, 1.0), account("b", 0.5, 2.0), account("c", 0.1, 0.0)
    assert [one.name for one in in_order(found)] == ["c", "b", "a"]
