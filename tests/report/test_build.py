"""build_report: what stands in the one value that every renderer prints."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import TranscriptError
from metav_audit.evidence import custody_of
from metav_audit.report import build_report
from metav_audit.statistics import clopper_pearson, conformal_tail, rare_boundary, total_variation
from metav_audit.transcript import load_transcript
from metav_audit.verdict import VerdictOutcome, conformal_p_value, decide
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder


def report_of(folder):
    bundle = FingerprintBundle.load(folder / "bundle")
    transcript = load_transcript(folder / "transcript.jsonl")
    return build_report(bundle, transcript, decide(bundle, transcript), custody_of(folder, bundle, transcript))


@pytest.fixture
def match(tmp_path):
    return report_of(make_folder(tmp_path, linear_model(make_task(), 0), unanswered=(2, 5)))


def test_match_says_derived_and_rare_among_independents(match):
    """The headline of a match names both propositions' sides, and nothing is ever called stolen."""
    assert match.verdict.outcome is VerdictOutcome.MATCH
    assert match.wording.headline == (
        "The answers of suspect are what one expects of a model derived from toy, "
        "and are rare among independent models."
    )
    assert "stolen" not in repr(dataclasses.asdict(match.wording))


def test_no_match_says_independent(tmp_path):
    """The headline of a no-match is the mirror of a match's."""
    report = report_of(make_folder(tmp_path, linear_model(make_task(), 9, distance=3.0)))
    assert report.verdict.outcome is VerdictOutcome.NO_MATCH
    assert "a model independent of toy, and are rare among models derived from it" in report.wording.headline


def test_p_values_come_with_their_bound(match):
    """Each p-value's sentence says how fine it could have been."""
    assert all("could not have been finer than 1/31" in sentence for sentence in match.wording.weight)


def test_unanswered_queries_have_a_reason_and_no_answer(match):
    """An unanswered query is in the report, with its reason, and counted among exclusions and failures."""
    query = match.queries[2]
    assert (query.status, query.suspect, query.agrees, query.divergence) == ("unanswered", None, None, None)
    assert [(item.queries, item.reason) for item in match.exclusions] == [((2, 5), query.reason)]
    assert [(item.outcome, item.http_status, item.requests) for item in match.failures] == [("transient", 503, 2)]
    assert match.steadiness == "2 inputs asked 4 times, answered 4 times; their answers differ by 0 nats at most"
    assert any("2 of 6 queries have no answer" in sentence for sentence in match.wording.other_side)


def test_answer_is_compared_with_the_targets_own(match):
    """The target's own answers agree with it and are at no distance."""
    query = match.queries[0]
    assert query.agrees
    assert query.divergence == pytest.approx(0, abs=1e-6)
    assert query.suspect == pytest.approx(query.target, rel=1e-6)
    assert query.picture.startswith(b"\x89PNG")


def test_strata_are_not_pooled(tmp_path):
    """Independents of each architecture and data stand in a row of their own, and add up to the side."""
    bundle = make_bundle()
    cards = [
        dataclasses.replace(card, data=("train", "heldout")[index % 2], architecture="ab"[index % 3 // 2])
        for index, card in enumerate(bundle.calibration.models)
    ]
    bundle = dataclasses.replace(bundle, calibration=dataclasses.replace(bundle.calibration, models=tuple(cards)))
    report = report_of(make_folder(tmp_path, linear_model(make_task(), 0), bundle=bundle))
    rows = [stratum for stratum in report.strata if not stratum.derived]
    assert len({(row.recipe, row.architecture, row.data) for row in rows}) == len(rows) == 4
    assert sum(row.lineages for row in rows) == report.verdict.independents
    assert sum(row.as_high for row in rows) == sum(score >= report.verdict.score for score in report.sides[0].scores)


def test_without_a_score_no_figure_is_given(tmp_path):
    """Where too little is shown, there is no score and nothing that would rest on one."""
    report = report_of(make_folder(tmp_path, linear_model(make_task(), 0), unanswered=range(6)))
    assert report.verdict.score is None
    assert all(side.scores == () and side.boundary is None for side in report.sides)
    assert all(stratum.lowest is None and stratum.models for stratum in report.strata)
    assert "showed too little" in report.wording.headline


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    """A verdict of another transcript makes no report."""
    bundle = make_bundle()
    model = linear_model(make_task(), 0)
    folders = [make_folder(tmp_path / name, model, unanswered=left) for name, left in (("a", (0,)), ("b", ()))]
    transcripts = [load_transcript(folder / "transcript.jsonl") for folder in folders]
    custody = custody_of(folders[0], bundle, transcripts[0])
    with pytest.raises(TranscriptError, match="another bundle or transcript"):
        build_report(bundle, transcripts[0], decide(bundle, transcripts[1]), custody)


@pytest.mark.parametrize(
    ("hits", "trials", "interval"),
    [
        (0, 30, (0.0, 0.1157033)),
        (3, 30, (0.0211171, 0.2652885)),
        (30, 30, (0.8842967, 1.0)),
        (1, 2, (0.0125791, 0.9874209)),
    ],
)
def test_clopper_pearson_is_the_published_interval(hits, trials, interval):
    """The interval equals scipy's exact binomial interval to seven places."""
    assert clopper_pearson(hits, trials) == pytest.approx(interval, abs=1e-7)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5, 0.99])
def test_boundary_is_where_the_p_value_turns(rate):
    """Beyond the boundary a p-value keeps the rate; at it, it no longer does; too few scores have none."""
    independents = make_scores()
    boundary = rare_boundary(independents[::-1].tolist(), rate)
    if boundary is None:
        assert conformal_p_value(2.0, independents) > rate
    else:
        assert conformal_p_value(boundary + 1e-9, independents) <= rate < conformal_p_value(boundary, independents)


def make_scores():
    import numpy as np

    return np.sort(np.random.default_rng(3).random(40))


def test_total_variation_is_one_for_disjoint_answers():
    """Distributions without common ground are at distance 1."""
    assert total_variation((1.0, 0.0), (0.0, 1.0)) == 1.0


@pytest.mark.parametrize(
    ("hits", "trials", "calibration", "rate"), [(0, 20, 40, 0.05), (5, 27, 40, 0.05), (9, 9, 4, 0.4)]
)
def test_the_conformal_tail_is_that_of_permutations(hits, trials, calibration, rate):
    """The share of random orders of calibration and trials in which so many trials are rare, counted."""
    rng = np.random.default_rng(0)
    scores = rng.random((20_000, calibration + trials))
    ranks = 1 + (scores[:, None, :calibration] >= scores[:, calibration:, None]).sum(axis=2)
    rare = (ranks <= rate * (calibration + 1)).sum(axis=1)
    assert conformal_tail(hits, trials, calibration, rate) == pytest.approx((rare >= hits).mean(), abs=0.01)


def test_so_few_calibration_scores_that_nothing_is_rare():
    """With four scores no p-value is as low as 5 %: a hit is impossible."""
    assert (conformal_tail(0, 20, 4, 0.05), conformal_tail(1, 20, 4, 0.05)) == (1, 0)
