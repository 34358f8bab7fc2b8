"""A calibration's models are what a suspect has to be: made-up ones, and cards that lie, give no verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metav_audit.bundle import Calibration, ErrorRates
from metav_audit.verdict import RULES, CalibrationScores, Scored, VerdictOutcome, calibration_doubts, conclude, judge
from metav_audit.verdict.soundness import following
from metav_audit.verify import verify_folder
from tests.builders import linear_model, make_bundle, make_siblings_bundle, make_task, weighed, with_natural
from tests.folders import make_folder
from tests.verdict.test_decide import card, transcript

TASK = make_task(classes=6)
BUNDLE = make_bundle(queries=24, task=TASK, spread=0.4)


def shuffled(bundle, rows, *, alike=False, seed=0):
    """The bundle with the answers of some calibration models in another order, and the table that follows."""
    rng = np.random.default_rng(seed)
    answers = bundle.calibration.features.copy()
    one = rng.permutation(answers.shape[1])
    for at in rows:
        answers[at] = answers[at][one if alike else rng.permutation(answers.shape[1])]
    return weighed(replace(bundle, calibration=Calibration(answers, bundle.calibration.models)))


def invented(bundle, *, alike=False):
    """Shuffled answers as independents, real independents as derived models."""
    models = bundle.calibration.models
    real = np.flatnonzero([not each.derived for each in models])
    answers = bundle.calibration.features[np.random.default_rng(1).choice(real, len(models))]
    return shuffled(replace(bundle, calibration=Calibration(answers, models)), real, alike=alike)


@pytest.mark.parametrize("bundle", [BUNDLE, make_siblings_bundle(queries=24, task=TASK, spread=0.4)])
def test_honest_calibrations_give_no_doubt(bundle):
    """Both sides follow the queries, and what is derived comes near the target."""
    assert calibration_doubts(bundle) == ()
    assert calibration_doubts(with_natural(bundle)) == ()


@pytest.mark.parametrize("alike", [False, True])
def test_a_made_up_calibration_gives_no_verdict(alike, tmp_path):
    """An innocent scores as its derived models do, and yet is no match; ``verify`` names the step."""
    rigged = invented(BUNDLE, alike=alike)
    innocent = linear_model(TASK, 8000, distance=0.4)
    decision = conclude(rigged, transcript(innocent, rigged))
    assert decision.verdict.p_value <= 0.05 < decision.verdict.p_value_derived
    assert decision.verdict.outcome is VerdictOutcome.INCONCLUSIVE
    said = " ".join(decision.verdict.reasons)
    assert "independent models do not answer what they were asked" in said
    assert "none of the calibration's derived models comes near the target" in said
    steps = verify_folder(make_folder(tmp_path / "suspect", innocent, rigged))
    assert "calibration of models of the task" in {step.name for step in steps if step.status == "FAIL"}


def test_one_shuffled_model_among_many_is_named():
    """Where the others follow their queries surely."""
    many = make_bundle(queries=64, task=TASK, spread=0.4)
    assert np.median(following(many)) > RULES.sure_following
    (doubt,) = calibration_doubts(shuffled(many, [41]))
    assert "1 of the calibration's independent models" in doubt
    assert "number 41" in doubt


@pytest.mark.parametrize(("performance", "doubted"), [(0.9, True), (0.05, False)])
def test_a_card_that_promises_more_than_its_model_does_is_named(performance, doubted):
    """Natural inputs say so; what a card admits is no lie."""
    bundle = with_natural(BUNDLE)
    answers = bundle.natural.models.copy()
    answers[3] = np.roll(answers[3], 1, axis=1)
    cards = tuple(replace(each, performance=performance) for each in bundle.calibration.models)
    bundle = replace(
        bundle,
        natural=replace(bundle.natural, models=answers),
        calibration=replace(bundle.calibration, models=cards),
    )
    assert any("number 3" in doubt for doubt in calibration_doubts(bundle)) is doubted


def held(derived, independent):
    cards = tuple(card(f"{side}{at}", derived=side) for side in (True, False) for at in range(19))
    return CalibrationScores(cards, tuple(map(Scored, (*derived, *independent))))


@pytest.mark.parametrize(("score", "outcome"), [(0.5, "inconclusive"), (0.77, "match"), (0.99, "match")])
def test_no_match_lies_far_below_every_derived_model(score, outcome):
    """Rates that an owner sets so low that anything is usual among derived models do not make one."""
    scores = held(np.linspace(0.8, 0.95, 19), np.linspace(0.01, 0.05, 19))
    found = judge(Scored(score), scores, ErrorRates(0.05, 0.001), scores.fit_weight())
    assert found.outcome == outcome
