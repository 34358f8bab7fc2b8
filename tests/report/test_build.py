"""build_report: what stands in the one value that every renderer prints."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from metav_audit.bundle import Schedule
from metav_audit.errors import TranscriptError
from metav_audit.evidence import custody_of
from metav_audit.report.writing import build_report
from metav_audit.statistics import cllr, ratio_text, weigh_held_out
from metav_audit.transcript import load_transcript
from metav_audit.verdict import AuditFolder, VerdictOutcome, calibration_scores, conclude
from tests.builders import NONCE, linear_model, make_bundle, make_task
from tests.folders import make_folder


def report_of(folder):
    decision = AuditFolder(folder).decide()
    return build_report(decision, custody_of(AuditFolder(folder), decision.bundle, decision.transcript))


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
    assert sum("could not have been finer than 1/31" in sentence for sentence in match.wording.weight) == 2


def test_the_weight_is_a_ratio_of_probabilities_in_enfsi_s_words(match):
    """First comes the likelihood ratio of the two propositions, then its bounds, then how far it can be trusted."""
    ratio, bounds, trust, *_ = match.wording.weight
    times = ratio_text(match.verdict.log10_lr)
    assert ratio == (
        f"Such a score is about {times} times more probable if the model is derived from toy than if it is "
        f"independent of it: moderate support for derivation."
    )
    assert f"above {ratio_text(match.verdict.log10_lr_bounds[1])} would be more than the calibration can bear" in bounds
    assert bounds.endswith("This one is cut at its bound.") is (match.verdict.log10_lr in match.verdict.log10_lr_bounds)
    assert f"Cllr = {match.ratios.cllr:.3f}" in trust


def test_the_weight_for_independence_names_the_other_proposition_first(tmp_path):
    """A ratio below 1 is told the other way round, not as a fraction."""
    report = report_of(make_folder(tmp_path, linear_model(make_task(), 9, distance=3.0)))
    assert "more probable if the model is independent of toy than if it is derived from it" in report.wording.weight[0]
    assert report.wording.weight[0].endswith("moderate support for independence.")


def test_ratios_of_the_calibration_are_those_of_left_out_lineages(match):
    """Each lineage is weighed by the others through the suspect's own view; cost and misleading ones follow."""
    bundle = make_bundle()
    held_out = calibration_scores(bundle, answered=np.isin(np.arange(6), (2, 5), invert=True))
    derived, independent = weigh_held_out(held_out.lineage_scores(derived=True), held_out.lineage_scores(derived=False))
    assert match.ratios.derived == tuple(sorted(derived.tolist()))
    assert match.ratios.independent == tuple(sorted(independent.tolist()))
    assert match.ratios.cllr == pytest.approx(cllr(derived, independent))
    assert 0 <= match.ratios.cllr_min <= match.ratios.cllr < 1
    assert match.ratios.misleading_derived == sum(ratio < 0 for ratio in match.ratios.derived)
    assert match.ratios.misleading_independent == sum(ratio > 0 for ratio in match.ratios.independent)


def test_unanswered_queries_have_a_reason_and_no_answer(match):
    """An unanswered query is in the report, with its reason, and counted among exclusions and failures."""
    query = match.queries[2]
    asked = sum(number in (2, 5) for number in Schedule.of(6, 0, NONCE).numbers)
    assert (query.status, query.suspect, query.agrees, query.divergence) == ("unanswered", None, None, None)
    assert [(item.queries, item.reason) for item in match.exclusions] == [((2, 5), query.reason)]
    assert [(item.outcome, item.http_status, item.requests) for item in match.failures] == [("transient", 503, asked)]
    assert match.steadiness.startswith("4 inputs asked again and again, ")
    assert match.steadiness.endswith(" that differ by 0 nats at most")
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
    assert report.ratios is None
    assert report.wording.weight[0].startswith("There is no score, and so no likelihood ratio and no p-value: ")
    assert all(side.scores == () and side.boundary is None for side in report.sides)
    assert all(stratum.lowest is None and stratum.models for stratum in report.strata)
    assert "showed too little" in report.wording.headline


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    """A verdict of another transcript makes no report."""
    bundle = make_bundle()
    model = linear_model(make_task(), 0)
    folders = [make_folder(tmp_path / name, model, unanswered=left) for name, left in (("a", (0,)), ("b", ()))]
    transcripts = [load_transcript(folder / "transcript.jsonl") for folder in folders]
    one, other = (conclude(bundle, transcript) for transcript in transcripts)
    with pytest.raises(TranscriptError, match="another bundle or transcript"):
        replace(one, verdict=other.verdict)
