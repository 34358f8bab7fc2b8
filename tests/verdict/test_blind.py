"""Blind controls: their file, and the false-positive rate that they show."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import EvidenceError, TranscriptError
from metav_audit.task import Answer, ScoreKind
from metav_audit.verdict import (
    RULES,
    ControlModel,
    Controls,
    Verdict,
    VerdictOutcome,
    check_names,
    decide,
    load_controls,
    read,
)
from tests.builders import linear_model, make_bundle, make_task
from tests.verdict.test_decide import transcript

TASK = make_task()
BUNDLE = make_bundle(queries=8, task=TASK)
TARGET = linear_model(TASK, 0)


def control(name, model, unanswered=(), hidden=0, bundle=BUNDLE):
    rows = [(None,) * hidden + tuple(row[hidden:]) for row in model(bundle.inputs).tolist()]
    answers = tuple(None if query in unanswered else Answer(row) for query, row in enumerate(rows))
    return ControlModel(name, ScoreKind.PROBABILITY, answers, "0" * 64)


def independents(count):
    return [control(f"control {seed}", linear_model(TASK, 5000 + seed, distance=3.0)) for seed in range(count)]


def controls(models):
    return Controls(BUNDLE.sha256, tuple(models))


def test_controls_that_bear_the_promise_out_leave_the_verdict():
    """Twenty independents without a match: rate 0, an interval up to 17 %, and the match stands."""
    verdict = decide(
        BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls(independents(RULES.minimum_blind_controls))
    )
    assert verdict.outcome is VerdictOutcome.MATCH
    blind = verdict.controls
    assert (blind.models, blind.matches, blind.matched, blind.failures()) == (20, 0, (), ())
    assert blind.interval == pytest.approx((0, 0.1684), abs=1e-4)


def test_a_model_under_many_names_counts_once():
    """Twenty copies of one table of answers, to the last digits: one control, and so no verdict."""
    model = linear_model(TASK, 5000, distance=3.0)
    copies = [control(f"copy {at}", lambda inputs: model(inputs) * (1 + at * 1e-6)) for at in range(20)]  # noqa: B023
    blind = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls(copies)).controls
    assert (blind.models, len(blind.left_out)) == (1, 19)
    assert blind.left_out[0] == "copy 1: it answers as copy 0 does: a model counts once"
    assert blind.failures()


def test_what_no_model_of_the_task_would_answer_is_no_control():
    """The same answer to all, and noise where all models agree: left out, and the reason told."""
    sure = make_bundle(queries=8, task=TASK, spread=0.2)
    rng = np.random.default_rng(0)
    chance = [control(f"noise {at}", lambda inputs: rng.dirichlet([0.05] * 4, len(inputs))) for at in range(10)]
    flat = control("flat", lambda inputs: np.tile([0.2512345, 0.2487655, 0.2598765, 0.2401235], (len(inputs), 1)))
    made = Controls(sure.sha256, (*chance, flat))
    blind = decide(sure, read(sure, transcript(TARGET, sure)), made).controls
    assert "flat: every input gets the same answer: no model of the task answers so" in blind.left_out
    assert sum("unlike those of any model" in each for each in blind.left_out) >= 9


def test_answers_that_nobody_saw_given_are_labelled():
    """A table of answers is its supplier's word; whom the auditor asked is not."""
    seen = [dataclasses.replace(each, observed=True) for each in independents(20)[:15]]
    blind = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls([*seen, *independents(20)[15:]])).controls
    assert (blind.models, blind.observed) == (20, 15)
    assert str(blind).endswith("; the answers of 5 were not observed, they are their supplier's word")


def test_too_few_controls_give_no_verdict():
    """Nineteen are one too few; the reason says how many are needed."""
    verdict = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls(independents(19)))
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert verdict.reasons == ("only 19 blind controls could be scored: no verdict is given with fewer than 20",)
    assert not verdict.controls.contradicts()


def test_controls_that_match_more_often_than_promised_give_no_verdict():
    """Models called independent by a third party that the bundle calls derived: named, counted, and no verdict."""
    wronged = [control(f"rival {seed}", linear_model(TASK, 7000 + seed, distance=0.05)) for seed in range(5)]
    verdict = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls(independents(15) + wronged))
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert verdict.controls.matched == tuple(f"rival {seed}" for seed in range(5))
    assert verdict.controls.contradicts()
    assert "5 of 20 blind controls would be a match" in verdict.reasons[0]
    four = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls(independents(16) + wronged[:4]))
    assert four.outcome is VerdictOutcome.MATCH


def test_controls_are_seen_as_the_suspect_was():
    """What shows less than the suspect, or left open what it answered, is left out by name; the rest is cut alike."""
    models = [*independents(20), control("narrow", TARGET, hidden=2), control("gap", TARGET, unanswered=(2,))]
    blind = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE, hidden=1)), controls(models)).controls
    assert blind.models == 20
    assert [sentence.split(":")[0] for sentence in blind.left_out] == ["narrow", "gap"]
    also = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE, unanswered=(2,))), controls(models)).controls
    assert (also.models, also.matched) == (21, ("gap",))


def test_controls_of_another_bundle_are_refused():
    """The answers must be to this fingerprint."""
    other = dataclasses.replace(controls(independents(20)), bundle_sha256="0" * 64)
    with pytest.raises(TranscriptError, match="another bundle"):
        decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), other)
    short = dataclasses.replace(independents(1)[0], answers=())
    with pytest.raises(EvidenceError, match="0 answers to 8 queries"):
        decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls([short]))


def test_a_verdict_with_controls_survives_json():
    """verdict.json holds sanity and blind controls."""
    verdict = decide(BUNDLE, read(BUNDLE, transcript(TARGET, BUNDLE)), controls(independents(20)))
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


SCORES = st.one_of(st.none(), st.floats(0, 1), st.integers(0, 1))
ANSWERS = st.one_of(st.none(), st.lists(SCORES, min_size=1, max_size=4))
MODELS = st.lists(
    st.builds(
        lambda name, rows: ControlModel(
            name,
            ScoreKind.PROBABILITY,
            tuple(row and Answer(tuple(None if each is None else float(each) for each in row)) for row in rows),
            "f" * 64,
        ),
        st.text(st.characters(codec="utf-8")),
        st.lists(ANSWERS, max_size=3),
    ),
    max_size=4,
)


@given(MODELS)
def test_what_is_written_is_read(tmp_path_factory, models):
    """blind-controls.json gives the same controls and the same hash."""
    path = tmp_path_factory.getbasetemp() / "written.json"
    path.write_bytes(controls(models).to_bytes())
    assert load_controls(path) == controls(models)
    assert load_controls(path).sha256 == controls(models).sha256


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format": "metav-audit-controls", "schema_version": 2, "models": []}', b"\xff",
     b'{"format": "metav-audit-controls", "schema_version": 1, "bundle_sha256": "", "models": [{"name": "a"}]}'],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, content):
    """Whatever is no file of controls is one clear error; a missing one is none."""
    assert load_controls(tmp_path / "blind-controls.json") is None
    (tmp_path / "blind-controls.json").write_bytes(content)
    with pytest.raises(EvidenceError, match="damaged"):
        load_controls(tmp_path / "blind-controls.json")


def test_names_are_distinct_and_few():
    """A model counts once, and a list has a bound."""
    check_names(["a", "b"])
    for names in ([], ["a", "a"], [str(number) for number in range(10_001)]):
        with pytest.raises(ValueError, match="control"):
            check_names(names)
