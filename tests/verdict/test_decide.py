"""The decision: p-values, error rates, and when none is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle import Calibration, ErrorRates, ModelCard, Schedule, asked_inputs
from metav_audit.errors import AnswerError, BundleError, TranscriptError
from metav_audit.statistics import NEUTRAL, WeightTable, fit_weight, verbal
from metav_audit.task import Answer, OutputView, ScoreKind
from metav_audit.transcript import EndpointRecord, Exchange, Transcript
from metav_audit.verdict import (
    CalibrationScores,
    Rule,
    Scored,
    Verdict,
    VerdictOutcome,
    calibration_scores,
    conclude,
    decide,
    guard,
    judge,
    read,
)
from metav_audit.verdict.judgement import conformal_p_value
from tests.builders import NONCE, linear_model, make_bundle, make_task

TASK = make_task()
BUNDLE = make_bundle(task=TASK)
SCORES = st.floats(0, 1).map(lambda score: round(score, 1))


def transcript(
    model, bundle=BUNDLE, unanswered=(), hidden=0, shaken=lambda answer: answer, kind=ScoreKind.PROBABILITY, **fields
):
    """What an undisturbed audit leaves; ``shaken`` changes every answer to what was answered before."""
    rows = model(asked_inputs(bundle)).tolist()
    schedule, exchanges = Schedule.for_bundle(bundle, NONCE, fields.get("looks", ())), []
    for place, number in enumerate(schedule.numbers):
        answer = Answer((None,) * hidden + tuple(rows[number][hidden:]))
        again = schedule.places[number][0] < place
        lost = number in unanswered
        exchanges.append(Exchange(place, None if lost else shaken(answer) if again else answer, None, (), place))
    endpoint = EndpointRecord("suspect", "json-template", "http://host", kind, {})
    whole = Transcript(
        bundle.sha256, endpoint, "metav-audit", "", "", tuple(exchanges), len(rows), NONCE, (), "f" * 64, {}
    )
    return dataclasses.replace(whole, **fields)


def undisturbed(answer, bundle, nonce):
    """What an audit leaves of a host that ``answer`` stands for: it is called place by place with one input."""
    schedule, inputs = Schedule.for_bundle(bundle, nonce), asked_inputs(bundle)
    rows = [tuple(np.asarray(answer(inputs[number])).tolist()) for number in schedule.numbers]
    exchanges = tuple(Exchange(place, Answer(row), None, (), place) for place, row in enumerate(rows))
    endpoint = EndpointRecord("suspect", "json-template", "http://host", ScoreKind.PROBABILITY, {})
    return Transcript(bundle.sha256, endpoint, "metav-audit", "", "", exchanges, len(rows), nonce, (), "f" * 64, {})


def card(lineage, *, derived):
    return ModelCard(lineage, derived, "train", "target", "train", 0.9, "train")


def held_out(derived, independent):
    """Calibration scores by lineage name: {"a": [scores of its members]}."""
    rows = [(card(name, derived=True), score) for name, scores in derived.items() for score in scores]
    rows += [(card(name, derived=False), score) for name, scores in independent.items() for score in scores]
    cards, scores = zip(*rows, strict=True)
    return CalibrationScores(cards, tuple(map(Scored, scores)))


def reference_p_value(score, others):
    """The rank of the suspect among the independents and itself, counted one by one."""
    at_least = 1
    for other in others:
        if other >= score:
            at_least += 1
    return at_least / (len(others) + 1)


@given(SCORES, st.lists(SCORES, min_size=1, max_size=60))
def test_p_values_equal_a_plain_count(score, others):
    """The conformal p-value is a rank, ties counting against the suspect, never finer than 1 / (n + 1)."""
    p_value = conformal_p_value(score, np.array(others))
    assert p_value == reference_p_value(score, others)
    assert 1 / (len(others) + 1) <= p_value <= 1


LINEAGES = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(SCORES, min_size=1, max_size=4), min_size=1)


@given(SCORES, LINEAGES, LINEAGES)
def test_a_lineage_counts_once_by_its_worst_member(score, derived, independent):
    """Independents stand in by their highest score, derived models by their lowest; p-values follow from those."""
    scores = held_out(derived, independent)
    highest = [max(members) for members in independent.values()]
    lowest = [min(members) for members in derived.values()]
    judgement = judge(Scored(score), scores, ErrorRates(0.05, 0.05), scores.fit_weight())
    assert scores.fit_weight() == fit_weight(np.sort(lowest), np.sort(highest))
    assert scores.lineage_scores(derived=False).tolist() == sorted(highest)
    assert scores.lineage_scores(derived=True).tolist() == sorted(lowest)
    assert judgement.p_value == reference_p_value(score, highest)
    assert judgement.p_value_derived == reference_p_value(-score, [-low for low in lowest])


def test_a_lineage_s_name_may_stand_on_both_sides():
    """A derived and an independent lineage of one name are two lineages."""
    scores = held_out({"a": [0.9]}, {"a": [0.1], "b": [0.2]})
    assert scores.lineage_scores(derived=True).tolist() == [0.9]
    assert scores.lineage_scores(derived=False).tolist() == [0.1, 0.2]


def spread(low, high, count=19):
    return {str(index): [score] for index, score in enumerate(np.linspace(low, high, count))}


@pytest.mark.parametrize(
    ("score", "derived", "independent", "outcome"),
    [
        (0.95, spread(0.8, 1.0), spread(0.0, 0.2), VerdictOutcome.MATCH),
        (0.05, spread(0.8, 1.0), spread(0.0, 0.2), VerdictOutcome.NO_MATCH),
        (0.5, spread(0.8, 1.0), spread(0.0, 0.2), VerdictOutcome.INCONCLUSIVE),
        (0.5, spread(0.0, 1.0), spread(0.0, 1.0), VerdictOutcome.INCONCLUSIVE),
        (0.95, spread(0.8, 1.0), spread(0.0, 0.2, 18), VerdictOutcome.INCONCLUSIVE),
        (0.05, spread(0.8, 1.0, 18), spread(0.0, 0.2), VerdictOutcome.INCONCLUSIVE),
    ],
)
def test_outcomes(score, derived, independent, outcome):
    """A match is rare among independents and usual among derived, a no-match the reverse; a few decide nothing."""
    scores = held_out(derived, independent)
    assert judge(Scored(score), scores, ErrorRates(0.05, 0.05), scores.fit_weight()).outcome is outcome


@pytest.mark.parametrize("log10_lr", [-1.5, -0.5, 0.0, 0.5, 1.5])
@pytest.mark.parametrize(
    ("score", "outcome", "sign"), [(0.95, VerdictOutcome.MATCH, 1), (0.05, VerdictOutcome.NO_MATCH, -1)]
)
def test_an_outcome_that_the_likelihood_ratio_does_not_support_is_none(score, outcome, sign, log10_lr):
    """Rare on one side and usual on the other, but not ten times as probable under the one proposition."""
    scores = held_out(spread(0.8, 1.0), spread(0.0, 0.2))
    judgement = judge(Scored(score), scores, ErrorRates(0.05, 0.05), WeightTable((0.0,), (log10_lr,), -2.0, 2.0))
    assert judgement.log10_lr == log10_lr
    if sign * log10_lr > 1:
        assert judgement.outcome is outcome
        assert "likelihood ratio" not in judgement.reason
    elif sign * log10_lr > 0:
        assert judgement.outcome is VerdictOutcome.INCONCLUSIVE
        assert judgement.reason.endswith("supports it 3.16 times, and at least 10 times are asked for")
    else:
        assert judgement.outcome is VerdictOutcome.INCONCLUSIVE
        side = "derivation" if sign > 0 else "independence"
        assert judgement.reason.endswith(f"the likelihood ratio does not support {side}")


@pytest.mark.parametrize(("told", "stands"), [(None, True), (False, True), (True, False)])
def test_a_match_needs_independents_that_were_trained_as_the_target_was(told, stands):
    """Where the target behaves like none of them a match is inconclusive and says in what; no match stands."""
    differs = "its margin on blends is 1, the others' 9"
    stranger = {} if told is None else {"stranger": {"is_stranger": told, "differs": differs, "models": 30}}
    bundle = make_bundle(queries=24, task=TASK, spread=0.5)
    bundle = dataclasses.replace(bundle, provenance={**bundle.provenance, **stranger})
    copy, other = (
        conclude(bundle, transcript(linear_model(TASK, seed, distance=far), bundle)).verdict
        for seed, far in ((5001, 0.03), (7001, 0.7))
    )
    assert other.outcome is VerdictOutcome.NO_MATCH
    assert copy.outcome is (VerdictOutcome.MATCH if stands else VerdictOutcome.INCONCLUSIVE)
    assert any(differs in reason for reason in copy.reasons) is not stands


def test_a_match_needs_independents_of_the_target_s_own_architecture():
    """Where calibration knows none, a match is inconclusive and says why; a no-match stands."""
    scores = held_out(spread(0.8, 1.0), spread(0.0, 0.2))
    others = tuple(one if one.derived else dataclasses.replace(one, architecture="mlp") for one in scores.models)
    strange, rates = dataclasses.replace(scores, models=others), ErrorRates(0.05, 0.05)
    match, no_match = (judge(Scored(score), strange, rates, scores.fit_weight()) for score in (0.95, 0.05))
    assert guard(match, scores) == match
    assert guard(match, strange).outcome is VerdictOutcome.INCONCLUSIVE
    assert "none of these independent models has the target's own architecture" in guard(match, strange).reason
    assert guard(no_match, strange).outcome is VerdictOutcome.NO_MATCH


def strangers(bundle):
    """The bundle, none of whose independents has the target's own architecture."""
    cards = tuple(
        one if one.derived else dataclasses.replace(one, architecture="mlp") for one in bundle.calibration.models
    )
    return dataclasses.replace(bundle, calibration=dataclasses.replace(bundle.calibration, models=cards))


def test_controls_are_judged_without_that_rule():
    """The target itself is inconclusive beside strangers, and its sanity control a match: no control is blunted."""
    bundle = strangers(BUNDLE)
    verdict = decide(bundle, read(bundle, transcript(linear_model(TASK, 0), bundle)))
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert verdict.reasons[0].endswith("does not hold for them")
    assert verdict.sanity.target == "match"


def test_behind_noise_the_still_calibration_has_to_agree():
    """An outcome that follows from the noise on the calibration alone is inconclusive."""
    near, far = held_out(spread(0.8, 1.0), spread(0.0, 0.2)), held_out(spread(0.8, 1.0), spread(0.0, 0.97))
    bundle = dataclasses.replace(BUNDLE, rates=ErrorRates(0.05, 0.05))
    still = [Rule(bundle, bundle.verifier, scores, scores.fit_weight()) for scores in (near, far)]
    rules = [Rule(bundle, bundle.verifier, near, near.fit_weight(), one) for one in still]
    assert [rule.judge(Scored(0.95)).outcome for rule in rules] == [VerdictOutcome.MATCH, VerdictOutcome.INCONCLUSIVE]
    assert rules[1].judge(Scored(0.95)).reason.endswith("but not so beside calibration models without the noise")


def test_a_score_above_all_independents_can_yet_be_less_probable_if_derived():
    """Where derived models crowd at 1, a score between the sides speaks for independence, and is no match."""
    derived = {**spread(0.9999, 1.0, 36), "stray 0": [0.3], "stray 1": [0.31], "stray 2": [0.32]}
    scores = held_out(derived, spread(0.1, 0.3, 39))
    judgement = judge(Scored(0.35), scores, ErrorRates(0.05, 0.05), scores.fit_weight())
    assert judgement.p_value <= 0.05 < judgement.p_value_derived
    assert judgement.log10_lr < 0
    assert judgement.outcome is VerdictOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("score", "rank", "outcome", "reason"),
    [
        (0.95, 0.05, VerdictOutcome.MATCH, "usual among derived ones"),
        (0.95, 0.1, VerdictOutcome.INCONCLUSIVE, "come as near to this suspect in 10% of the cases"),
        (0.05, 0.5, VerdictOutcome.NO_MATCH, "usual among independent ones"),
        (0.05, 0.45, VerdictOutcome.INCONCLUSIVE, "a copy of a kind that the zoo lacks may be so"),
    ],
)
def test_the_rank_among_siblings_has_to_say_the_same(score, rank, outcome, reason):
    """Where the target has siblings, a match is rare among them, and a no-match is usual."""
    scores = held_out(spread(0.8, 1.0), spread(0.0, 0.2))
    judgement = judge(Scored(score, rank), scores, ErrorRates(0.05, 0.05), scores.fit_weight())
    assert (judgement.outcome, judgement.p_value_siblings) == (outcome, rank)
    assert judgement.reason.endswith(reason)


@pytest.mark.parametrize("independents", [19, 20, 39, 60])
def test_false_matches_stay_within_the_promised_rate(independents):
    """Where suspect and calibration are exchangeable independents, at most 5 % match, for any number of lineages."""
    rng = np.random.default_rng(independents)
    draws, rates = 4000, ErrorRates(0.05, 0.05)
    derived = spread(0.0, 1.0, 40)
    matches = 0
    for scores in rng.beta(2, 5, (draws, independents + 1)):
        calibration = held_out(derived, {str(index): [score] for index, score in enumerate(scores[1:])})
        matches += judge(Scored(scores[0]), calibration, rates, NEUTRAL).p_value <= rates.false_match
    promised = np.floor(rates.false_match * (independents + 1)) / (independents + 1)
    assert promised <= rates.false_match
    assert abs(matches / draws - promised) <= 4 * np.sqrt(promised * (1 - promised) / draws)


@pytest.mark.parametrize("members", [1, 3])
def test_lineages_of_several_members_do_not_raise_the_rate(members):
    """Counting each independent lineage by its highest member errs on the side of no match."""
    rng = np.random.default_rng(members)
    draws = 2000
    offsets = rng.normal(size=(draws, 40, 1)) + 0.3 * rng.normal(size=(draws, 40, members))
    hits = [
        conformal_p_value(lineages[0, 0], np.sort(lineages[1:].max(axis=1))) <= 0.05 for lineages in np.tanh(offsets)
    ]
    assert np.mean(hits) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / draws)


def test_the_target_matches_and_a_stranger_does_not():
    """On a toy task with 30 lineages a side, the finest p-value there is decides."""
    match = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 0))))
    stranger = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 5, distance=3.0))))
    assert (match.outcome, match.p_value) == (VerdictOutcome.MATCH, 1 / 31)
    assert (stranger.outcome, stranger.p_value_derived) == (VerdictOutcome.NO_MATCH, 1 / 31)
    assert (match.independents, match.derived, match.answered, match.queries) == (30, 30, 6, 6)


def test_the_same_evidence_gives_the_same_verdict():
    """The decision is a pure function."""
    assert decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 3)))) == decide(
        BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 3)))
    )


def test_a_verdict_survives_json():
    """to_json and from_json are inverse."""
    verdict = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 3))))
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_unanswered_queries_are_masked_for_suspect_and_calibration_alike():
    """A verdict on part of the queries is that of a bundle with those queries only."""
    partial = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 0), unanswered=(1, 4))))
    answered = np.array([True, False, True, True, False, True])
    scores = calibration_scores(BUNDLE, answered=answered)
    changed = BUNDLE.calibration.features.copy()
    changed[:, [1, 4]] = -9.0
    other = dataclasses.replace(BUNDLE, calibration=Calibration(changed, BUNDLE.calibration.models))
    assert partial.answered == 4
    assert partial.outcome is VerdictOutcome.MATCH
    assert partial.p_value == conformal_p_value(partial.score, scores.lineage_scores(derived=False))
    assert np.array_equal(calibration_scores(other, answered=answered).scores, scores.scores)
    assert not np.allclose(scores.scores, calibration_scores(BUNDLE).scores)


@pytest.mark.parametrize(("unanswered", "decided"), [((0, 1, 2), True), ((0, 1, 2, 3), False), (range(6), False)])
def test_below_half_answered_no_verdict_is_given(unanswered, decided):
    """Half of the queries are enough, fewer are not, and the reason says how many."""
    verdict = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 0), unanswered=unanswered)))
    assert (verdict.outcome is not VerdictOutcome.INCONCLUSIVE) is decided
    if not decided:
        answered = 6 - len(unanswered)
        assert (verdict.score, verdict.p_value, verdict.p_value_derived) == (None, None, None)
        assert (verdict.log10_lr, verdict.log10_lr_bounds, verdict.verbal) == (None, None, None)
        assert Verdict.from_json(verdict.to_json()) == verdict
        assert verdict.reasons[0] == f"only {answered} of 6 queries were answered; at least half are needed"


def test_hidden_classes_are_judged_through_the_same_view_as_the_calibration():
    """Where an API shows three of four classes, the calibration models are shown with their top three."""
    verdict = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 0), hidden=1)))
    assert verdict.view == "the top 3 classes"
    seen = calibration_scores(BUNDLE, OutputView(top=3))
    assert verdict.p_value == conformal_p_value(verdict.score, seen.lineage_scores(derived=False))
    assert verdict.log10_lr == seen.fit_weight().weigh(verdict.score)


def test_the_weight_stays_within_the_bounds_and_is_put_into_words():
    """Derived and independent suspects get the LRs that thirty lineages a side can bear, in ENFSI's words."""
    match = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 0))))
    stranger = decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 5, distance=3.0))))
    assert match.log10_lr_bounds == stranger.log10_lr_bounds == (BUNDLE.weight.low, BUNDLE.weight.high)
    assert 1 < match.log10_lr <= BUNDLE.weight.high < np.log10(31)
    assert BUNDLE.weight.low <= stranger.log10_lr < -1
    assert (match.verbal, stranger.verbal) == ("moderate support for derivation", "moderate support for independence")


def bent(bundle, by):
    """The bundle's table with its top lowered."""
    heights = [min(height, bundle.weight.high - by) for height in bundle.weight.log10_lr]
    return dataclasses.replace(bundle, weight=dataclasses.replace(bundle.weight, log10_lr=tuple(heights)))


def test_where_all_is_shown_the_bundle_s_own_table_weighs():
    """A table within the tolerance of the calibration's is used as it stands, and for the full view only."""
    bundle = bent(BUNDLE, 0.015)
    assert (
        decide(bundle, read(bundle, transcript(linear_model(TASK, 0), bundle))).log10_lr == BUNDLE.weight.high - 0.015
    )
    partial = decide(bundle, read(bundle, transcript(linear_model(TASK, 0), bundle, unanswered=(1,))))
    answered = np.arange(6) != 1
    assert partial.log10_lr == calibration_scores(bundle, answered=answered).fit_weight().weigh(partial.score)
    assert partial.verbal == verbal(partial.log10_lr)


@pytest.mark.parametrize(
    "weight",
    [
        WeightTable((-9.0, 9.0), (-6.0, 6.0), -6.0, 6.0),
        dataclasses.replace(BUNDLE.weight, high=BUNDLE.weight.high + 0.03),
    ],
)
def test_a_table_that_does_not_follow_from_the_calibration_is_refused(weight):
    """An owner cannot write larger ratios into a bundle than its calibration bears."""
    forged = dataclasses.replace(BUNDLE, weight=weight)
    with pytest.raises(BundleError, match="table of likelihood ratios does not follow from its calibration"):
        decide(forged, read(forged, transcript(linear_model(TASK, 0), forged)))


@pytest.mark.parametrize("fields", [{"bundle_sha256": "0" * 64}, {"exchanges": ()}])
def test_a_transcript_of_another_bundle_is_refused(fields):
    """Another hash, or another number of queries, is another bundle's."""
    with pytest.raises(TranscriptError, match="recorded with another bundle"):
        decide(BUNDLE, read(BUNDLE, transcript(linear_model(TASK, 0), **fields)))


def test_answers_of_another_kind_are_refused():
    """Logits recorded as probabilities are an AnswerError, not a verdict."""
    with pytest.raises(AnswerError, match="declare what the API returns"):
        decide(BUNDLE, read(BUNDLE, transcript(lambda inputs: np.full((len(inputs), 4), 3.0))))
