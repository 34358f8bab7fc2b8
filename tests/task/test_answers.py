"""Raw answers become canonical features with a mask."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metav_audit.errors import AnswerError
from metav_audit.task import LOG_FLOOR, Answer, ClassScores, ScoreKind, features
from metav_audit.task.answers import check_answer
from metav_audit.task.outputs import clipped_log_probabilities

THREE = ClassScores(("a", "b", "c"))
LOGITS = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 8)), elements=st.floats(-40, 40))


def space(size):
    return ClassScores(tuple(map(str, range(size))))


def answers(rows):
    return [Answer(tuple(row)) for row in rows.tolist()]


@given(LOGITS)
def test_every_kind_of_score_of_one_model_gives_the_same_features(logits):
    """Probabilities, percents, log-probabilities and logits agree within 1e-6."""
    log_probabilities = scipy.special.log_softmax(logits, axis=1)
    forms = {
        ScoreKind.LOGIT: logits,
        ScoreKind.LOG_PROBABILITY: log_probabilities,
        ScoreKind.PROBABILITY: np.exp(log_probabilities),
        ScoreKind.PERCENT: 100 * np.exp(log_probabilities),
    }
    found = [features(answers(rows), space(logits.shape[1]), kind).values for kind, rows in forms.items()]
    expected = np.maximum(log_probabilities, LOG_FLOOR)
    assert all(np.abs(values - expected).max() <= 1e-6 for values in found)
    assert max(np.abs(values - found[0]).max() for values in found) <= 1e-6


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e300, 1e300)))
def test_logits_of_any_size_are_softened_as_scipy_does(logits):
    """The logarithm of softmax equals scipy's, however large the logits, without a warning."""
    with np.errstate(over="ignore"):
        expected = np.maximum(scipy.special.log_softmax(logits, axis=1), LOG_FLOOR)
    assert np.allclose(clipped_log_probabilities(logits, ScoreKind.LOGIT), expected, rtol=0, atol=1e-12)


@given(LOGITS, st.floats(-1e3, 1e3))
def test_a_constant_added_to_all_logits_changes_nothing(logits, constant):
    """Logits are known up to a constant."""
    shifted = clipped_log_probabilities(logits + constant, ScoreKind.LOGIT)
    assert np.allclose(shifted, clipped_log_probabilities(logits, ScoreKind.LOGIT), atol=1e-9)


@pytest.mark.parametrize("kind", [ScoreKind.PROBABILITY, ScoreKind.PERCENT, ScoreKind.LOG_PROBABILITY])
def test_a_missing_class_and_an_unanswered_query_are_masked(kind):
    """What was not shown is masked out and never stands for probability 0."""
    row = {ScoreKind.PERCENT: (60.0, None, 30.0), ScoreKind.PROBABILITY: (0.6, None, 0.3)}.get(kind, (-0.5, None, -1.2))
    shown = features([Answer(row), None], THREE, kind)
    assert shown.mask.tolist() == [[True, False, True], [False] * 3]
    assert (shown.values[~shown.mask] == 0).all()
    assert (shown.values[shown.mask] > LOG_FLOOR).all()
    assert np.isfinite(shown.values).all()


@pytest.mark.parametrize("kind", ClassScores.score_kinds)
def test_an_unanswered_query_beside_an_answered_one_is_masked(kind):
    """Whatever the kind of score, a query without an answer is masked, and the other one is not."""
    row = {
        ScoreKind.PERCENT: (60.0, 10.0, 30.0),
        ScoreKind.LOG_PROBABILITY: tuple(np.log([0.6, 0.1, 0.3]).tolist()),
        ScoreKind.LOGIT: (-3.0, 8.0, 0.0),
        ScoreKind.LABEL: (None, 1.0, None),
    }.get(kind, (0.6, 0.1, 0.3))
    shown = features([None, Answer(row), None], THREE, kind)
    assert shown.mask.any(axis=1).tolist() == [False, True, False]
    assert np.isfinite(shown.values).all()


def test_features_are_bounded():
    """A probability of 0 is clipped at the floor, a rounded probability above 1 at 0."""
    shown = features([Answer((1.0004, 0.0, 0.0))], THREE, ScoreKind.PROBABILITY)
    assert shown.values.tolist() == [[0.0, np.float32(LOG_FLOOR), np.float32(LOG_FLOOR)]]
    assert math.isclose(LOG_FLOOR, math.log(1e-6))


@pytest.mark.parametrize(
    ("scores", "kind", "said"),
    [
        ((0.5, 0.5), "probability", "2 scores, the task has 3 classes"),
        ((0.2,) * 5, "probability", "5 scores, the task has 3 classes"),
        ((), "logit", "0 scores"),
        ((None, None, None), "logit", "shows nothing at all"),
        ((1.0, None, 2.0), "logit", "logits of some classes alone"),
        ((0.5, None, None), "label", "shows scores, but"),
        ((1.0, 1.0, None), "label", "shows scores, but"),
        ((math.nan, 0.5, 0.5), "probability", "NaN or an infinite"),
        ((math.inf, 0.0, 0.0), "logit", "NaN or an infinite"),
        ((-math.inf, 0.0, 0.0), "log_probability", "NaN or an infinite"),
        ((-0.2, 0.6, 0.6), "probability", "smallest -0.2"),
        ((0.31, 0.3, 0.3), "probability", "sum 0.91"),
        ((0.3, 0.3, 0.2), "probability", "sum 0.8"),
        ((0.6, 0.6, None), "probability", "sum 1.2"),
        ((60.0, 30.0, 10.0), "probability", "declare what the API returns"),
        ((0.6, 0.3, 0.1), "percent", "sum 0.01"),
        ((-20.0, 60.0, 60.0), "percent", "smallest -0.2"),
        ((0.6, 0.3, 0.1), "log_probability", "above 0"),
        ((-4.0, -5.0, -6.0), "log_probability", "do not look like the declared kind"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(scores, kind, said):
    """Wrong number, not finite, or not of the declared kind: an AnswerError of one line."""
    with pytest.raises(AnswerError, match=said) as caught:
        features([Answer(scores)], THREE, ScoreKind(kind))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scores", [(0.61, 0.3, 0.1), (0.6, 0.3, 0.08), (1.0, 0.0, -1e-9), (0.4, 0.3, None)])
def test_rounding_is_forgiven(scores):
    """Probabilities rounded by the API to two decimals are taken."""
    assert np.isfinite(features([Answer(scores)], THREE, ScoreKind.PROBABILITY).values).all()


def test_percents_that_were_cut_off_are_shares_all_the_same():
    """Each class may have lost up to one; what lost more, or has more decimals, is refused."""
    space = ClassScores(tuple("abcdefghij"))
    check_answer(Answer((0.55, *[0.04] * 9)), space, ScoreKind.PROBABILITY)
    check_answer(Answer((55.0, *[4.0] * 9)), space, ScoreKind.PERCENT)
    for scores in ((0.45, *[0.04] * 9), (0.551, *[0.041] * 9)):
        with pytest.raises(AnswerError, match="declare what the API returns"):
            check_answer(Answer(scores), space, ScoreKind.PROBABILITY)


@pytest.mark.parametrize("scores", [(0.3, 0.3, 0.3), (0.6, 0.5, 0.0), (0.9, 0.0, 0.0)])
def test_shares_of_one_decimal_need_not_add_up(scores):
    """Each is rounded by up to half a tenth."""
    check_answer(Answer(scores), THREE, ScoreKind.PROBABILITY)
