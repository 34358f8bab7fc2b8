"""A session beside those that were enrolled: unchanged, changed, or it can't be told."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle.integrity import Catch, IntegrityPlan, Session
from metav_audit.errors import BundleError
from metav_audit.task import Answer, ScoreKind
from metav_audit.verdict.integrity import IntegrityOutcome, judge_session
from tests.builders import make_task

TASK = make_task(classes=3, side=2)
COUNT = 16
INPUTS = TASK.domain.project(np.random.default_rng(0).uniform(size=(COUNT, 1, 2, 2)).astype(np.float32))
OWN = tuple((0.34, 0.33, 0.33) for _ in range(COUNT))
PLAN = IntegrityPlan(TASK, INPUTS, OWN, (Catch("a change", 4, 3, 4),))


def labels(number: int, *named: int) -> Session:
    """A session of labels alone, class 0 but for the first few queries."""
    told = (*named, *[0] * (COUNT - len(named)))
    rows = (tuple(1.0 if place == label else None for place in range(3)) for label in told)
    return Session("2026-01-01T00:00:00Z", "a", "http://a", ScoreKind.LABEL, tuple(map(Answer, rows)), f"{number:064x}")


def scores(number: int, *shares: float) -> Session:
    """A session of probabilities: of class 0 these, of the others alike."""
    told = (*shares, *[0.3412] * (COUNT - len(shares)))
    rows = ((share, (1 - share) / 2, (1 - share) / 2) for share in told)
    form = ScoreKind.PROBABILITY
    return Session("2026-01-01T00:00:00Z", "a", "http://a", form, tuple(map(Answer, rows)), f"{number:064x}")


def outcome(enrolled, session) -> IntegrityOutcome:
    return judge_session(PLAN.with_sessions(enrolled), session).outcome


STEADY = [labels(at) for at in range(1, 7)]


@pytest.mark.parametrize(("enrolled", "session", "wanted"), [
    (STEADY, labels(9), "unchanged"),
    (STEADY, labels(9, 1, 2, 1, 1), "changed"),
    (STEADY, labels(9, 1, 2), "inconclusive"),
    (STEADY[:4], labels(9, 1, 2, 1, 1), "inconclusive"),
    ([*STEADY[:5], labels(7, 1, 2)], labels(9, 2, 1), "unchanged"),
    ([*STEADY[:5], labels(7, 1, 2, 1, 1, 2)], labels(9, 2, 1, 2, 2, 1), "inconclusive"),
    ([scores(at, *[0.34 + at / 1e4] * COUNT) for at in range(1, 7)], scores(9, *[0.3403] * COUNT), "unchanged"),
    ([scores(at, *[0.34 + at / 1e4] * COUNT) for at in range(1, 7)], scores(9, *[0.36] * COUNT), "changed"),
    ([scores(at) for at in range(1, 7)], labels(9), "unchanged"),
    # Rounded scores that tie name either label.
    ([scores(at, *[0.34] * COUNT) for at in range(1, 7)], labels(9, 1, 2, 0, 1, 2), "unchanged"),
    # One session of another model hides no change.
    ([*(scores(at) for at in range(1, 7)), scores(8, *[0.9] * COUNT)], scores(9, *[0.5] * COUNT), "inconclusive"),
    ([scores(at) for at in range(1, 7)], labels(9, 1, 1, 1, 1), "changed"),
])  # fmt: skip
def test_what_was_never_seen_decides(enrolled, session, wanted):
    """By labels alone and by scores, beside steady sessions and beside noisy ones."""
    assert outcome(enrolled, session) == wanted


def test_a_deployment_that_moves_the_inputs_is_never_called_unchanged_by_labels():
    """Its labels are others than the model's own: there a change need not show."""
    moved = [labels(at, 1, 1, 2, 2) for at in range(1, 7)]
    verdict = judge_session(PLAN.with_sessions(moved), labels(9, 1, 1, 2, 2))
    assert verdict.outcome == "inconclusive"
    assert "may not show" in verdict.reasons[0]


def test_too_few_answers_say_nothing():
    """Half of the inputs have to be answered."""
    few = Session("", "a", "http://a", ScoreKind.LABEL, (None,) * 9 + labels(1).answers[9:], "f" * 64)
    verdict = judge_session(PLAN.with_sessions(STEADY), few)
    assert (verdict.outcome, verdict.answered) == ("inconclusive", 7)


@pytest.mark.parametrize(("sessions", "proven"), [(6, False), (98, False), (99, True)])
def test_the_guarantee_says_what_is_proven(sessions, proven):
    """One percent needs 99 sessions."""
    plan = PLAN.with_sessions([labels(at) for at in range(1, sessions + 1)])
    assert judge_session(plan, labels(9999)).guarantee.startswith("exact over sessions") is proven


def test_a_plan_comes_back_as_it_was(tmp_path):
    """With its sessions; what was altered is refused."""
    plan = PLAN.with_sessions([*STEADY, scores(50)])
    plan.save(tmp_path / "plan.json")
    assert IntegrityPlan.load(tmp_path / "plan.json").sha256 == plan.sha256 != plan.bare.sha256
    (tmp_path / "plan.json").write_bytes(plan.to_bytes().replace(b"0.01", b"0.010"))
    with pytest.raises(BundleError, match="not as this program writes it"):
        IntegrityPlan.load(tmp_path / "plan.json")


@given(st.data())
def test_a_damaged_plan_is_refused_by_its_own_error(data):
    """Whatever stands in the place of any field, of the plan, a session or a catch."""
    fields = json.loads(PLAN.with_sessions(STEADY[:1]).to_bytes())
    place = data.draw(st.sampled_from([fields, fields["sessions"][0], fields["catches"][0]]))
    name = data.draw(st.sampled_from(sorted(place)))
    if data.draw(st.booleans()):
        place[name] = data.draw(
            st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=4), st.lists(st.none(), max_size=2))
        )
    else:
        del place[name]
    with suppress(BundleError):  # A number in the place of another may still be a plan.
        IntegrityPlan.from_json(fields)
