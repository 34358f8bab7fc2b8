"""Exit codes of audits by a plan, whose endpoints are asked one after the other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from metav_audit.cli.plans import audit_each
from metav_audit.errors import RemoteError
from metav_audit.verdict import VerdictOutcome

MATCH, NOTHING = VerdictOutcome.MATCH, VerdictOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([MATCH], 1), ([NOTHING], 3), ([None], 4), ([None, None], 5), ([NOTHING, MATCH], 1), ([None, MATCH], 1),
        ([MATCH, None], 1), ([None, NOTHING], 5),
    ],
)  # fmt: skip
def test_a_match_is_told_whatever_else_failed(capsys, outcomes, code):
    """And that some of several could not be asked; None stands for those that fail."""
    endpoints = [SimpleNamespace(name=f"e{at}", outcome=one) for at, one in enumerate(outcomes)]

    def audit(endpoint):
        if endpoint.outcome is None:
            raise RemoteError(f"{endpoint.name} is down")
        account = SimpleNamespace(account="acme", p_value=0.01, adjusted=0.02)
        named = ("acme",) if endpoint.outcome is MATCH else ()
        return SimpleNamespace(
            accounts=named, findings=(account,), outcome=endpoint.outcome, endpoint=endpoint.name, answered=8,
            queries=8, requests=9,
        )  # fmt: skip

    assert audit_each(endpoints, audit, Path("out")) == code
    told = capsys.readouterr()
    assert told.out.count(" -> out/e") == sum(one is not None for one in outcomes)
    assert told.err.count("is down") == outcomes.count(None)
