"""Whether the endpoint was asked rightly: natural inputs tell, and the target's answers to wrong requests say how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metav_audit.task import ScoreKind
from metav_audit.verdict import NOT_ASKED, VerdictOutcome, conclude
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.verdict.test_decide import transcript

TASK = make_task(classes=6)
PLAIN = make_bundle(queries=24, task=TASK, spread=0.2)
BUNDLE = with_natural(PLAIN)
TARGET, COPY = linear_model(TASK, 0), linear_model(TASK, 7, distance=0.05)
STRANGER = linear_model(TASK, 9, distance=0.2)


@pytest.mark.parametrize("model", [TARGET, COPY, STRANGER])
def test_who_does_the_task_is_judged_by_its_score(model):
    """Target, copy and independent model get natural inputs right, and their verdict says how many."""
    decision = conclude(BUNDLE, transcript(model, BUNDLE))
    assert decision.reading.faults == ()
    assert "16 natural inputs of the owner's validation data: 16 answered, 16 of them" in decision.verdict.natural


def test_a_verdict_without_natural_inputs_says_so():
    """Where the bundle has none the verdict stands, and says what is not shown."""
    verdict = conclude(PLAIN, transcript(TARGET, PLAIN)).verdict
    assert verdict.natural == NOT_ASKED
    assert verdict.score is not None


@pytest.mark.parametrize("model", [COPY, STRANGER])
@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        ("inverted", lambda model: lambda inputs: model(1 - inputs)),
        ("transposed", lambda model: lambda inputs: model(inputs.transpose(0, 1, 3, 2))),
        ("labels are shifted by 5", lambda model: lambda inputs: np.roll(model(inputs), 1, axis=1)),
    ],
)
def test_a_wrong_request_is_inconclusive_and_the_mistake_is_named(model, named, wrong):
    """Whoever is asked wrongly is neither accused nor cleared."""
    verdict = conclude(BUNDLE, transcript(wrong(model), BUNDLE)).verdict
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert any("what fits" in reason and named in reason for reason in verdict.reasons), verdict.reasons


def test_a_mistake_that_nobody_foresaw_is_inconclusive_with_the_usual_causes():
    """Labels that are exchanged two by two: the reason says that the request is wrong, and what fits or is usual."""
    exchanged = transcript(lambda inputs: TARGET(inputs)[:, [1, 0, 3, 2, 5, 4]], BUNDLE)
    verdict = conclude(BUNDLE, exchanged).verdict
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert any("the request is wrong" in reason for reason in verdict.reasons), verdict.reasons


def test_natural_inputs_that_are_not_answered_are_no_proof():
    """Fewer than half of them answered: inconclusive."""
    verdict = conclude(BUNDLE, transcript(TARGET, BUNDLE, unanswered=range(24, 34))).verdict
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert any("only 6 of 16 natural inputs" in reason for reason in verdict.reasons)


def test_a_label_alone_is_enough_to_tell(tmp_path):
    """Where an API names the label alone, wrong labels of natural inputs are seen as well."""

    def labels(model):
        return lambda inputs: np.where(np.eye(6)[model(inputs).argmax(axis=1)] > 0, 1.0, np.nan)

    for model, outcome in ((TARGET, True), (lambda inputs: TARGET(1 - inputs), False)):
        whole = transcript(labels(model), BUNDLE)
        shown = [
            replace(each, answer=replace(each.answer, scores=tuple(
                None if np.isnan(one) else one for one in each.answer.scores)))
            for each in whole.exchanges
        ]  # fmt: skip
        seen = replace(whole, exchanges=tuple(shown), endpoint=replace(whole.endpoint, scores=ScoreKind.LABEL))
        faults = conclude(BUNDLE, seen).reading.faults
        assert (not any("asked wrongly" in fault or "request is wrong" in fault for fault in faults)) is outcome, faults


def test_no_match_is_never_given_below_every_independent_model():
    """An endpoint that scores lower than all of them does another task, or was asked wrongly."""
    lowest = conclude(PLAIN, transcript(lambda inputs: np.roll(TARGET(inputs), 1, axis=1) * 0.9 + 0.1 / 6, PLAIN))
    assert lowest.verdict.outcome is VerdictOutcome.INCONCLUSIVE
