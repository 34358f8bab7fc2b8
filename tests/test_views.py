"""What an API shows is found from its answers, and the calibration is seen the same way."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.outputs import ScoreKind, clipped_log_probabilities
from metav_audit.responses import Answer, Features, features
from metav_audit.views import FULL_VIEW, OutputView, find_view
from tests.builders import linear_model, make_task

TASK = make_task(classes=6)
INPUTS = TASK.domain.sample(20, np.random.default_rng(0))
SHARES = linear_model(TASK, 3)(INPUTS * 0.2)
FULL = Features(
    clipped_log_probabilities(SHARES, ScoreKind.PROBABILITY).astype(np.float32), np.ones(SHARES.shape, np.bool_)
)


def shown(view: OutputView, kind: ScoreKind = ScoreKind.PROBABILITY) -> list[Answer]:
    """Write the model's answers as an API with this view does."""
    answers = []
    for row in SHARES:
        order = np.argsort(-row, kind="stable")[: view.top or len(row)]
        scores: list[float | None] = [None] * len(row)
        for index in order:
            share = row[index] if view.decimals is None else round(float(row[index]), view.decimals)
            scores[index] = 1.0 if view.label_only else share * (100 if kind is ScoreKind.PERCENT else 1)
        answers.append(Answer(tuple(scores)))
    return answers


@pytest.mark.parametrize(
    "view",
    [FULL_VIEW, OutputView(top=1), OutputView(top=3), OutputView(decimals=2), OutputView(top=5, decimals=3)],
    ids=str,
)
@pytest.mark.parametrize("kind", [ScoreKind.PROBABILITY, ScoreKind.PERCENT])
def test_a_view_is_found_from_answers_and_gives_the_same_features_when_applied(view, kind):
    """Answers cut and rounded by an API equal full answers seen through the view that was found."""
    answers = shown(view, kind)
    found = find_view(answers, TASK.output, kind)
    assert found == view
    direct, applied = features(answers, TASK.output, kind), found.apply(FULL, TASK.output)
    assert np.array_equal(direct.mask, applied.mask)
    assert np.allclose(direct.values, applied.values, atol=1e-5)


def test_a_label_alone_is_a_view_without_scores():
    """A label-only answer shows one class; which one is all that counts."""
    answers = shown(OutputView(top=1, label_only=True))
    found = find_view(answers, TASK.output, ScoreKind.LABEL)
    applied = found.apply(FULL, TASK.output)
    assert found.label_only
    assert np.array_equal(features(answers, TASK.output, ScoreKind.LABEL).mask, applied.mask)
    assert not applied.values.any()


def test_many_models_are_seen_at_once():
    """A view applies to features of any number of leading dimensions alike."""
    view = OutputView(top=2, decimals=2)
    stacked = view.apply(Features(np.stack([FULL.values] * 3), np.stack([FULL.mask] * 3)), TASK.output)
    assert np.array_equal(stacked.values[1], view.apply(FULL, TASK.output).values)


def test_without_answers_the_view_is_the_full_one():
    """Nothing answered tells nothing of what is shown."""
    assert find_view([None, None], TASK.output, ScoreKind.PROBABILITY) == FULL_VIEW
