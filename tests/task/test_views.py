"""What an API shows is found from its answers, and the calibration is seen the same way."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import AnswerError
from metav_audit.task import (
    FULL_VIEW,
    Answer,
    Features,
    GeneratedTensor,
    OutputView,
    Quantities,
    ScoreKind,
    check_answer,
    features,
    find_noise,
    find_view,
    with_noise,
)
from metav_audit.task.outputs import Quantity, clipped_log_probabilities
from metav_audit.task.views import USUAL_VIEWS
from tests.builders import linear_model, make_task

TASK = make_task(classes=6)
DOSES = Quantities(tuple(Quantity(f"dose {number}", 31.0, 0.01) for number in range(6)))
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


@given(
    st.sampled_from([TASK.output, GeneratedTensor((6,)), GeneratedTensor((6,), -1.0, 1.0, 256), DOSES]),
    st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 100.0, 1e16, 5e-324, 1.7e308, -1.7e308]), min_size=6, max_size=6)
    ),
    st.data(),
)
def test_numbers_of_any_size_that_are_answers_have_a_view_and_features(space, rows, data):
    """What a check lets pass is finite, seen and compared without a warning, in every kind of score and of output."""
    kind, answers = data.draw(st.sampled_from([*space.score_kinds])), []
    for row in rows:
        with contextlib.suppress(AnswerError):
            check_answer(Answer(tuple(row)), space, kind)
            answers.append(Answer(tuple(row)))
    find_view(answers, space, kind)
    values = features(answers, space, kind).values.astype(np.float64)
    assert np.isfinite(values).all()
    shown = [np.exp(each) if space.labelled else each for each in (values, values[::-1])]
    assert find_noise([np.stack(shown[:1]).reshape(-1, 6)] if answers else [], kind) >= 0
    for one, other in zip(values, values[::-1], strict=True):
        assert np.isfinite(space.drift(one, other))
        assert np.isfinite(space.distance(one, other))


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


@pytest.mark.parametrize("percent", [False, True])
@pytest.mark.parametrize("decimals", [2, 3])
@pytest.mark.parametrize("cut", [False, True])
def test_shares_that_are_cut_off_are_told_from_rounded_ones(decimals, cut, percent):
    """Cut-off shares never add up to more than 1; the view then cuts the calibration's off as well."""
    shares = np.random.default_rng(0).dirichlet(np.ones(TASK.output.size), 60)
    shown = np.floor(shares * 10**decimals) / 10**decimals if cut else np.round(shares, decimals)
    kind, times = (ScoreKind.PERCENT, 100) if percent else (ScoreKind.PROBABILITY, 1)
    found = find_view([Answer(tuple((times * row).round(9).tolist())) for row in shown], TASK.output, kind)
    assert (found.decimals, found.cut) == (decimals, cut)
    assert found.words(TASK.output).endswith("decimals, cut off" if cut else "decimals")
    full = TASK.output.canonical(shares, ScoreKind.PROBABILITY).astype(np.float32)
    seen = found.apply(Features(full, np.ones(full.shape, bool)), TASK.output).values
    np.testing.assert_allclose(seen, TASK.output.canonical(shown, ScoreKind.PROBABILITY), atol=1e-4)


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


SIZES = st.floats(1e-4, 0.015)


def by_input(rounds):
    """Rounds of inputs, input by input."""
    return list(np.moveaxis(rounds, 1, 0))


@given(SIZES, st.integers(0, 2**31), st.sampled_from([ScoreKind.PROBABILITY, ScoreKind.VALUE]))
def test_noise_is_found_and_measured(size, seed, kind):
    """Eight rounds of two inputs tell how strong it is, within two thirds and five thirds."""
    middle = np.full((8, 2, 6), 1 / 6)
    found = find_noise(by_input(middle + size * np.random.default_rng(seed).standard_normal(middle.shape)), kind)
    assert 2 / 3 * size < found < 5 / 3 * size


def taking(rng, turns, jitter=0.0):
    """Rounds answered by two models, in these turns, each a hair's breadth from itself."""
    return 0.01 * rng.normal(size=(2, 2, 6))[turns] + jitter * rng.normal(size=(len(turns), 2, 6))


STRANGE = {
    "the same every time": lambda rng: np.zeros((8, 2, 6)),
    "two models by dice": lambda rng: taking(rng, rng.permutation([0, 0, 0, 0, 1, 1, 1, 1])),
    "two models by dice, on a computer that wavers": lambda rng: taking(rng, rng.permutation([0, 0, 0, 1]), 1e-6),
    "two models by turns": lambda rng: taking(rng, [0, 1] * 4, 1e-6),
    "a model that is trained on": lambda rng: 0.001 * np.arange(8)[:, None, None] * rng.normal(size=(2, 6)),
    "a model changed early": lambda rng: taking(rng, [0, 1, 1, 1, 1, 1, 1, 1], 1e-6),
    "a model changed late": lambda rng: taking(rng, [0, 0, 0, 0, 0, 0, 0, 1], 1e-6),
    "a noisy model changed": lambda rng: taking(rng, [0, 0, 0, 1, 1, 1, 1, 1], 0.002),
    "too much": lambda rng: 2 * USUAL_VIEWS.most_noise * rng.normal(size=(8, 2, 6)),
    "too few rounds": lambda rng: 0.01 * rng.normal(size=(3, 2, 6)),
    "other classes each time": lambda rng: np.where(rng.permuted(np.eye(6), axis=1)[:, None] > 0, np.nan, 0),
}


@pytest.mark.parametrize("case", STRANGE)
@pytest.mark.parametrize("seed", range(20))
def test_what_is_no_noise_is_not_taken_for_it(case, seed):
    """Steady answers, two models, a model that changes, and answers that hardly agree have none."""
    assert find_noise(by_input(1 / 6 + STRANGE[case](np.random.default_rng(seed))), ScoreKind.PROBABILITY) == 0


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_what_bringing_the_sum_to_one_takes_away_is_added_again(classes):
    """The noise found is the one that was added, before probabilities were brought to add up to 1."""
    space, even = make_task(classes=classes).output, np.full((8, 2, classes), -np.log(classes), np.float32)
    audits = [np.exp(with_noise(even, 0.01, space, seed)).astype(np.float64) for seed in range(200)]
    found = [find_noise(by_input(shown / shown.sum(axis=-1, keepdims=True)), ScoreKind.PROBABILITY) for shown in audits]
    assert np.mean([one for one in found if one]) == pytest.approx(0.01, rel=0.1)
    percents = [find_noise(by_input(shown), ScoreKind.PERCENT) for shown in audits]
    assert percents == [find_noise(by_input(shown), ScoreKind.PROBABILITY) for shown in audits]


def test_noisy_tensors_stay_within_their_range_and_levels():
    """A noisy generator's element is one that its API can show."""
    space = GeneratedTensor((1, 2, 2), 0.0, 1.0, 256)
    shown = space.shown(with_noise(np.full((50, 4), -0.5, np.float32), 0.02, space, 0))
    assert shown.min() >= 0
    assert np.allclose(shown * 255, np.round(shown * 255), atol=1e-3)


def test_logits_and_labels_have_no_noise_that_is_told():
    """The sizes of logits are not known beforehand, and a label has none."""
    rounds = 0.01 * np.random.default_rng(0).normal(size=(8, 2, 6))
    assert [find_noise(by_input(rounds), kind) for kind in (ScoreKind.LOGIT, ScoreKind.LABEL)] == [0, 0]


def test_a_noisy_view_adds_as_much_noise_and_names_it():
    """Calibration models get noise of their own from a seed; top classes are those of the noisy scores."""
    view = OutputView(top=2, noise=0.01)
    assert view.words(TASK.output) == "the top 2 classes, noise of 0.01"
    applied = view.apply(FULL, TASK.output)
    noisy = with_noise(FULL.values, 0.01, TASK.output, 0)
    assert np.array_equal(applied.mask, np.argsort(np.argsort(-noisy, axis=1, kind="stable"), axis=1) < 2)
    assert np.array_equal(applied.values[applied.mask], noisy[applied.mask])
    assert np.exp(noisy).sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_without_answers_the_view_is_the_full_one():
    """Nothing answered tells nothing of what is shown."""
    assert find_view([None, None], TASK.output, ScoreKind.PROBABILITY) == FULL_VIEW
