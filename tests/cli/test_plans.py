"""Exit codes of audits by a plan, whose endpoints are asked one after the other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from metav_audit.cli import main
from metav_audit.cli.plans import audit_each
from metav_audit.errors import RemoteError
from metav_audit.verdict import VerdictOutcome

WRONG = {
    "nowhere.json": "there is no plan",
    "e.toml": "is an endpoint file, no plan: name the plan first",
    ".": "is a folder, no plan",
}


@pytest.mark.parametrize("words", ["served audit", "dither audit", "served asked", "served redraw"])
@pytest.mark.parametrize("named", WRONG)
def test_what_is_no_plan_is_a_mistake_of_whoever_named_it(tmp_path, monkeypatch, capsys, words, named):
    """Exit code 2, with what to name; 4 is for plans that are damaged."""
    monkeypatch.chdir(tmp_path)
    Path("e.toml").write_text('[endpoints.e]\nurl = "http://127.0.0.1:9"\n')
    with pytest.raises(SystemExit) as end:
        main([*words.split(), named, *([] if "asked" in words else ["plan.json"])])
    assert end.value.code == 2
    assert WRONG[named] in capsys.readouterr().err


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
