"""What the pages say: what undoes a verdict, controls, custody, and a form that certifies nothing by itself."""

from __future__ import annotations

import dataclasses
import json

import pytest

from metav_audit.evidence import Attested, AttestedStatus
from metav_audit.report import load_report
from metav_audit.report.blocks import Drawing, Drawings, Form, Ledger, Steps, Table
from metav_audit.report.figures import draw
from metav_audit.report.figures.agreement import agreement_plot
from metav_audit.report.figures.ruler import ruler
from metav_audit.report.figures.scores import strip_plot
from metav_audit.report.layout import lay_out
from metav_audit.verdict import RULES, AuditFolder, ControlRecord
from tests.builders import linear_model, make_task
from tests.folders import make_folder

FORM = "Annex F. Form of certification, US Fed. R. Evid. 902(13) and 902(14)"


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path, linear_model(make_task(), 0), unanswered=(2,))


@pytest.fixture
def report(folder):
    return load_report(AuditFolder(folder))


def sections(report):
    return {section.title: section for section in lay_out(report).sections}


def all_of(document, kind):
    return [block for section in document.sections for block in section.blocks if isinstance(block, kind)]


def test_pages_come_in_this_order(report):
    """Method in one page, findings, the other side, limits, strata, queries, then the annexes by letter."""
    assert list(sections(report)) == [
        "The method, in plain words",
        "What was found",
        "What the figures mean",
        "Controls",
        "What speaks for the other side",
        "What this report does not say",
        "The calibration models, kind by kind",
        "Query by query",
        "The inputs",
        "Failures and exclusions",
        "The answers, beside the protected model's",
        "Annex A. Chain of custody",
        "Annex B. Files and hashes",
        "Annex C. How such likelihood ratios fare",
        "Annex D. The thresholds that decide",
        "Annex E. How to check this report",
        FORM,
    ]


def test_nothing_is_ever_called_stolen_or_proved(report):
    """The pages weigh propositions."""
    text = json.dumps(lay_out(report).to_json()).lower()
    assert not any(word in text for word in ("stolen", "theft", "infring", "guilty", "prove"))


def test_every_figure_named_is_drawn_and_every_figure_drawn_is_named(report):
    """With the annex on ratios and without."""
    for each in (report, dataclasses.replace(report, ratios=None)):
        document = lay_out(each)
        named = [drawing.file for drawing in all_of(document, Drawing)]
        named += [drawing.file for pair in all_of(document, Drawings) for drawing in pair.drawings]
        assert sorted([*named, document.cover.ruler.file]) == sorted(draw(each))


def test_without_a_score_what_rests_on_one_is_left_out(tmp_path):
    """No ruler, no figure of scores, no annex on ratios; the letters close up."""
    report = load_report(AuditFolder(make_folder(tmp_path, linear_model(make_task(), 0), unanswered=range(6))))
    assert lay_out(report).cover.ruler is None
    assert draw(report) == {}
    titles = list(sections(report))
    assert "Query by query" not in titles
    assert "Controls" not in titles
    assert titles[-1].startswith("Annex E. Form of certification")


def test_a_verdict_that_does_not_stand_says_so_first(folder):
    """A failed control, a broken seal or commitment is a warning above the verdict; what is merely absent is none."""
    assert lay_out(load_report(AuditFolder(folder))).cover.warning is None
    record = ControlRecord("own", False, None, "refused", None, None)  # noqa: FBT003
    (folder / "positive-control.json").write_bytes(record.to_bytes())
    report = load_report(AuditFolder(folder))
    assert "own, could not be audited: no verdict of this run stands" in lay_out(report).cover.warning
    broken = Attested(AttestedStatus.INVALID, "The seal does not hold.")
    custody = dataclasses.replace(report.custody, control=None, seal=broken)
    assert lay_out(dataclasses.replace(report, custody=custody)).cover.warning == "The seal does not hold."


def test_controls_stand_in_a_section_of_their_own(folder):
    """Sanity controls and the run's positive control, each with what was seen."""
    record = ControlRecord("own", True, "match", None, "0" * 64, "0" * 64)  # noqa: FBT003
    (folder / "positive-control.json").write_bytes(record.to_bytes())
    rows = sections(load_report(AuditFolder(folder)))["Controls"].blocks[1].rows
    assert [row[:2] for row in rows] == [("Sanity controls", "passed"), ("Positive control", "passed")]
    assert rows[1][2] == "The run's positive control, own, came out as a match, as it must."


def test_the_cover_cuts_hashes_that_the_annex_has_whole(report):
    """At a glance, twelve digits tell keys apart; under the order of events stands all of it."""
    key = "0123456789abcdef" * 4
    seal = Attested(AttestedStatus.SEALED, f"Sealed by the key {key}.")
    sealed = dataclasses.replace(report, custody=dataclasses.replace(report.custody, seal=seal))
    document = lay_out(sealed)
    assert ("Seal", "Sealed by the key 0123456789ab….") in document.cover.glance
    assert all_of(document, Table)[-3].rows[-1][2] == f"Sealed by the key {key}."


def test_annex_lists_every_file_with_its_hash(report):
    """Files, sizes and hashes are those of the folder."""
    table = next(block for block in sections(report)["Annex B. Files and hashes"].blocks if isinstance(block, Table))
    assert [(row[0], row[2]) for row in table.rows] == [(file.name, file.sha256) for file in report.custody.files]
    assert {"verdict.json", "transcript.jsonl", "bodies.pack", "bundle/manifest.json"} <= {row[0] for row in table.rows}


def test_annex_lists_every_threshold_with_its_value(report):
    """Groups are flat, each name in words; the values are those that a commitment states."""
    title = "Annex D. The thresholds that decide"
    rows = dict(next(block for block in sections(report)[title].blocks if isinstance(block, Table)).rows)
    stated = RULES.stated(make_task().output)
    assert len(rows) == sum(len(value) if isinstance(value, dict) else 1 for value in stated.values())
    assert rows["minimum share answered"] == "0.5"
    assert rows["views: most noise"] == str(stated["views"]["most_noise"])
    assert rows["verifier: tie nats"] == "1e-06"
    assert rows["machine names"] == json.dumps(RULES.machine_names)


def test_custody_tells_events_operator_requests_and_options(report):
    """The order of events begins with the bundle and ends with the seal; nothing set to nothing is listed."""
    blocks = sections(report)["Annex A. Chain of custody"].blocks
    events = next(block for block in blocks if isinstance(block, Table)).rows
    assert [row[0] for row in events] == [
        "The bundle is fixed", "The bundle is made again", "First query", "Last record", "The audit is sealed",
    ]  # fmt: skip
    assert events[2][1] == "2026-03-04 10:00:00 UTC"
    told = dict(row for block in blocks if isinstance(block, Ledger) for row in block.rows)
    assert told["name"] == "A. Auditor"
    assert told["option body"] == '{"inputs": "{{inputs}}"}'
    assert "option headers" not in told
    assert told["requests"].startswith("22 sent, repeated inputs and retries included; of those for queries, 5 failed;")


def test_the_form_states_facts_leaves_blanks_and_is_no_advice(report):
    """Filled in are program, inputs, address, times and requests; person, grounds, dates and signature are blank."""
    *notes, form = sections(report)[FORM].blocks
    assert isinstance(form, Form)
    told = " ".join(note.text for note in notes)
    assert "It is not signed." in told
    assert "no legal advice" in told
    assert "Rule 902(11)" in told
    said = dict(form.statements)
    assert "metav-audit 0.1.0 sent 6 fixed inputs to http://127.0.0.1:8080/predict" in said["Process, Rule 902(13)."]
    assert "2026-03-04 10:00:00 UTC and 2026-03-04 10:07:00 UTC" in said["Process, Rule 902(13)."]
    assert "SHA-256" in said["Copy, Rule 902(14)."]
    assert form.opening.count("_" * 24) == 2
    assert "under penalty of perjury" in form.closing
    assert form.blanks == ("Executed on (date)", "At (place)", "Signature", "Name in print")


def test_what_no_eye_sees_moves_no_figure(report):
    """Another machine's rounding, in the last digits, gives the same bytes."""

    def shaken(value):
        return value * (1 + 1e-13) if isinstance(value, float) else value

    sides = tuple(dataclasses.replace(side, scores=tuple(map(shaken, side.scores))) for side in report.sides)
    assert strip_plot(sides, shaken(report.verdict.score)) == strip_plot(report.sides, report.verdict.score)
    names = ("divergence", "derived_divergence", "independent_divergence")
    queries = [
        dataclasses.replace(query, **{name: shaken(getattr(query, name)) for name in names}) for query in report.queries
    ]
    assert agreement_plot(queries) == agreement_plot(report.queries)
    assert ruler(shaken(1.23), (-1.5, shaken(1.5))) == ruler(1.23, (-1.5, 1.5))


@pytest.mark.parametrize("log10_lr", [-9.0, -6.9, 0.0, 3.5, 6.9, 12.0])
def test_the_ruler_holds_any_ratio(log10_lr):
    """Beyond its ends the mark stands at the end, and the number says what it is."""
    assert b"LR " in ruler(log10_lr, (-1.5, 12.5))


def test_method_is_steps_that_fit_on_a_page(report):
    """Seven titled steps, from the fingerprint to the rule."""
    steps = next(iter(all_of(lay_out(report), Steps))).steps
    assert [title for title, _ in steps][::6] == ["A fingerprint is prepared.", "The rule decides."]
    assert sum(len(text) for _, text in steps) < 4000
