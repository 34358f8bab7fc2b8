"""What happened, from audit to audit: each thing is told once, when it begins."""

from __future__ import annotations

import pytest

from metav_audit.verdict import VerdictOutcome
from metav_audit.watch.changes import Memory, after_audit, after_failure
from tests.watch.fleets import answers_of, sighting
from tests.watch.test_compare import near

MATCH, NONE, DOUBT = VerdictOutcome.MATCH, VerdictOutcome.NO_MATCH, VerdictOutcome.INCONCLUSIVE


class Endpoint:
    """Takes sightings one after the other, and remembers what they were."""

    def __init__(self):
        self.memory, self.seen = Memory(), {}

    def audit(self, *args, **more):
        number = len(self.seen) + 1
        self.seen[number] = sighting(*args, seed=number, **more)
        reference = self.seen.get(self.memory.reference)
        self.memory, drafts = after_audit(self.memory, number, self.seen[number], reference)
        return [draft.kind for draft in drafts]

    def fail(self, lost_after=2):
        self.memory, drafts = after_failure(self.memory, "HTTP 503", lost_after)
        return [draft.kind for draft in drafts]


@pytest.fixture
def endpoint():
    return Endpoint()


def test_a_match_is_told_when_it_begins(endpoint):
    """And again after a no match; what is inconclusive in between is no end of it."""
    told = [endpoint.audit(0, outcome=outcome) for outcome in (NONE, MATCH, MATCH, DOUBT, MATCH, NONE, MATCH)]
    assert told == [[], ["match"], [], [], [], [], ["match"]]


def test_the_first_audit_may_match(endpoint):
    """Nothing was known before."""
    assert endpoint.audit(0, outcome=MATCH) == ["match"]


def test_a_swap_is_told_once_and_so_is_the_way_back(endpoint):
    """The first audit after it is what the next ones are compared with."""
    assert [endpoint.audit(model) for model in (0, 0, 1, 1, 0, 0)] == [[], [], ["change"], [], ["change"], []]


def test_small_steps_add_up(endpoint):
    """Each audit is compared with the first one, and not with the one before."""
    steps = [near(0, size, 7) for size in (0.0, 0.01, 0.02)]
    assert [endpoint.audit(step) for step in steps] == [[], [], ["change"]]


def test_an_audit_that_met_the_moment_of_a_swap_tells_nothing(endpoint):
    """The next one does."""
    mixed = answers_of(0).copy()
    mixed[20:] = answers_of(1)[20:]
    assert endpoint.audit(0) == []
    assert endpoint.audit(mixed, steady=False, outcome=DOUBT) == []
    assert endpoint.audit(1) == ["change"]
    assert endpoint.audit(1) == []


def test_an_endpoint_that_is_never_one_model_is_told_once_and_its_end_too(endpoint):
    """By the second audit in a row that met several."""
    told = [endpoint.audit(0, steady=steady) for steady in (True, False, False, False, True, True)]
    assert told == [[], [], ["change"], [], ["change"], []]


def test_a_loss_is_told_once_and_so_is_its_end(endpoint):
    """After two failures in a row, or as many as are asked for."""
    assert [endpoint.fail(), endpoint.audit(0), endpoint.fail(), endpoint.fail(), endpoint.fail()] == [
        [], [], [], ["lost"], [],
    ]  # fmt: skip
    assert endpoint.audit(0) == ["recovered"]
    assert endpoint.fail(lost_after=1) == ["lost"]


def test_an_endpoint_may_come_back_as_another(endpoint):
    """Both are told."""
    endpoint.audit(0)
    endpoint.fail(1)
    assert endpoint.audit(1, outcome=MATCH) == ["recovered", "change", "match"]


def test_another_bundle_begins_anew(endpoint):
    """Its inputs are others, and so are their answers: that is no change of the endpoint."""
    other = "1" * 64
    told = [endpoint.audit(0), endpoint.audit(1, bundle_sha256=other), endpoint.audit(2, bundle_sha256=other)]
    assert told == [[], [], ["change"]]


def test_an_audit_without_answers_changes_nothing(endpoint):
    """It is no reference either."""
    assert [endpoint.audit(0), endpoint.audit(1, lost=1.0), endpoint.audit(0)] == [[], [], []]
    assert endpoint.memory.reference == 1
