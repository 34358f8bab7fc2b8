"""verify_folder: a good folder passes; whatever is altered is named by the step that finds it."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

from metav_audit.errors import ConfigurationError
from metav_audit.evidence import csv_difference, first_difference, weighing, write_sums
from metav_audit.report import write_reports
from metav_audit.transcript.replay import Replay
from metav_audit.verdict import AuditFolder, scores_in_full
from metav_audit.verify import Expected, Status, verify_folder
from tests.builders import linear_model, make_targeted_bundle, make_task
from tests.folders import make_folder, rechain

STEPS = [
    "files as they were when the audit ended",
    "bundle intact",
    "transcript intact",
    "bodies intact",
    "transcript recorded with this bundle",
    "chain of custody",
    "commitment before the first query",
    "bundle made again by another party",
    "inputs sent, answers decoded again",
    "asked in the order of the nonce",
    "answers fit the task",
    "verdict decided anew",
    "sanity controls hold",
    "calibration of models of the task",
    "blind controls bear the promise out",
    "positive control matches again",
    "verdict.json says the same",
    "seal at the end",
    "list of all files signed",
    "report.json says the same",
    "report.csv says the same",
    "report.html says the same",
    "report.pdf is the same",
]

WITH_HASH = ["report.json says the same", "report.html says the same", "report.pdf is the same"]
"""The reports that name the hash of every file of the evidence."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("audit"), linear_model(make_task(), 0), unanswered=(3,))
    write_reports(folder)
    write_sums(AuditFolder(folder))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "audit")


def failed(folder):
    """The steps that fail once the list of hashes is written anew, as any forger can."""
    write_sums(AuditFolder(folder))
    return {step.name: step.detail for step in verify_folder(folder) if not step.passed}


def edit_json(path, change):
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_text(json.dumps(fields))


def test_a_good_folder_passes_every_step(folder):
    """Every step, numbered from 1, all pass and say what they saw."""
    steps = verify_folder(folder)
    assert [(step.number, step.name) for step in steps] == list(enumerate(STEPS, start=1))
    assert all(step.passed and step.detail for step in steps)
    nothing_there = [step.name for step in steps if step.status is Status.NONE]
    assert nothing_there == [*STEPS[6:8], "blind controls bear the promise out", "positive control matches again",
                             "seal at the end", "list of all files signed"]  # fmt: skip


def test_a_folder_where_nothing_was_answered_passes(tmp_path):
    """An inconclusive audit is verified like any other."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0), unanswered=range(6))
    write_reports(folder)
    assert failed(folder) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [("outcome", "no_match"), ("score", 0.5), ("p_value", 1e-9), ("endpoint", "other"), ("reasons", []), ("extra", 1)],
)
def test_an_altered_verdict_is_named_by_field(folder, field, value):
    """A changed or added field of verdict.json fails its step, and the detail names the field."""
    edit_json(folder / "verdict.json", lambda fields: fields.update({field: value}))
    assert list(failures := failed(folder)) == ["verdict.json says the same", *WITH_HASH]
    assert failures["verdict.json says the same"].startswith(field)


@pytest.mark.soak
def test_rounding_is_no_difference(folder):
    """A score that differs in its last digit passes, though not the reports with the file's hash; a gap does not."""
    edit_json(folder / "verdict.json", lambda fields: fields.update(score=fields["score"] * (1 + 1e-12)))
    assert list(failed(folder)) == WITH_HASH
    edit_json(folder / "verdict.json", lambda fields: fields.pop("score"))
    assert failed(folder)["verdict.json says the same"] == "score is missing"


def test_an_altered_transcript_breaks_its_chain(folder):
    """One digit changed in a record, and what rests on the transcript is not checked any more."""
    path = folder / "transcript.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"elapsed_s":0.25', b'"elapsed_s":0.26', 1))
    failures = failed(folder)
    assert "the chain is broken" in failures.pop("transcript intact")
    assert list(failures) == [step for step in STEPS[3:] if step != "calibration of models of the task"]
    assert set(failures.values()) == {"a step it rests on failed"}


def test_a_transcript_chained_anew_contradicts_the_verdict(folder):
    """A forger who mends the chain still contradicts the raw responses, verdict.json and the reports."""

    def change(records):
        next(record for record in records if record.get("answers"))["answers"] = [[0.97, 0.01, 0.01, 0.01]]

    rechain(folder / "transcript.jsonl", change)
    assert list(failed(folder)) == ["inputs sent, answers decoded again", "verdict.json says the same", *STEPS[-4:]]


def test_a_shortened_transcript_is_found(folder):
    """Whole records dropped from the end leave a chain that ends elsewhere."""
    path = folder / "transcript.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert "transcript_sha256" in failed(folder)["verdict.json says the same"]


def test_altered_tensors_break_the_bundle(folder):
    """A verifier's weight changed by hand fails the bundle."""
    path = folder / "bundle" / "tensors.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["verifier.output.bias"] = tensors["verifier.output.bias"] + np.float32(1)
    path.write_bytes(safetensors.numpy.save(tensors))
    failures = failed(folder)
    assert "its hash does not hold" in failures["bundle intact"]
    assert "transcript intact" not in failures


def test_another_bundle_is_not_the_transcripts(folder, tmp_path):
    """A bundle that is intact but another fails the step that binds the two."""
    from tests.builders import make_bundle

    make_bundle(seed=5).save(folder / "bundle")
    failures = failed(folder)
    assert "bundle intact" not in failures
    assert "it names the bundle" in failures["transcript recorded with this bundle"]


def test_an_answer_that_fits_no_task_is_found(folder):
    """Scores that are no probabilities fail the answers' step."""

    def change(records):
        next(record for record in records if record.get("answers"))["answers"] = [[7.0, 1.0, 0.0, 0.0]]

    rechain(folder / "transcript.jsonl", change)
    assert "do not look like the declared kind" in failed(folder)["answers fit the task"]


@pytest.mark.parametrize("answers", [[["a", "b", "c", "d"]], [[[1], 2, 3, 4]], "abcd", [[]]])
def test_malformed_records_are_findings_not_crashes(folder, answers):
    """Records of the wrong types fail a step and raise nothing."""
    rechain(folder / "transcript.jsonl", lambda records: records[2].update(answers=answers))
    assert failed(folder)


def test_an_altered_report_csv_is_named_by_cell(folder):
    """A cell changed in the CSV fails its step alone, and the detail names the row."""
    path = folder / "report.csv"
    path.write_text(path.read_text().replace("unanswered", "answered", 1))
    assert list(failures := failed(folder)) == ["report.csv says the same"]
    assert failures["report.csv says the same"].startswith('rows[4][2] is "answered", recomputed it is "unanswered"')


def test_an_altered_report_json_is_named_by_field(folder):
    """A sentence changed in the JSON report fails its step alone, and the detail names its place."""
    edit_json(folder / "report.json", lambda fields: fields["wording"].update(headline="It is stolen."))
    assert list(failures := failed(folder)) == ["report.json says the same"]
    assert failures["report.json says the same"].startswith("wording.headline")


REPORTS = ["report.json", "report.csv", "report.html", "report.pdf"]


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"{"])
def test_a_missing_or_corrupt_file_fails_its_step_alone(folder, name, content):
    """A file that is missing, empty or garbled is a failed step with its reason, and stops no other."""
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    failures = failed(folder)
    assert len(failures) == 1
    step, detail = failures.popitem()
    assert step.startswith(name)
    assert detail


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"{"])
def test_a_missing_or_corrupt_verdict_is_found_before_the_reports_that_name_its_hash(folder, content):
    """verdict.json that is missing or garbled fails its own step, then those of the reports with its hash."""
    if content is None:
        (folder / "verdict.json").unlink()
    else:
        (folder / "verdict.json").write_bytes(content)
    assert list(failed(folder)) == ["verdict.json says the same", *WITH_HASH]


def test_an_altered_report_html_is_named_by_line(folder):
    """A word changed in the HTML fails its step alone, and the detail gives the line."""
    path = folder / "report.html"
    path.write_text(path.read_text().replace("independent of toy", "no concern of toy"))
    assert list(failures := failed(folder)) == ["report.html says the same"]
    assert "line " in failures["report.html says the same"]
    assert "no concern of toy" in failures["report.html says the same"]


def drawn_by_another(page, change=lambda svg: svg):
    """The page as if another program had drawn its figures, each changed."""
    drawn = re.sub(r'content="metav-audit, [^"]*"', 'content="metav-audit, matplotlib 0.1"', page)
    start = "data:image/svg+xml;base64,"
    return re.sub(
        rf"{re.escape(start)}([^\"]*)",
        lambda found: start + base64.b64encode(change(base64.b64decode(found[1]))).decode(),
        drawn,
    )


def html_step(folder, page):
    (folder / "report.html").write_text(page)
    write_sums(AuditFolder(folder))
    return next(step for step in verify_folder(folder) if step.name == "report.html says the same")


def test_figures_of_another_program_are_compared_by_their_words_and_points(folder):
    """Another version's figures pass where they say and show the same; another word or place fails."""
    page = (folder / "report.html").read_text()
    same = html_step(folder, drawn_by_another(page, lambda svg: svg.replace(b"<svg", b"<!-- by another --><svg")))
    assert (same.status, same.detail.split(";")[0]) == (Status.PASSED, "every word agrees")
    for old, new in ((rb">LR [^<]*<", b">LR 1,000,000<"), (rb"M (\d)", rb"M 1\1")):
        changed = html_step(folder, drawn_by_another(page, lambda svg: re.sub(old, new, svg)))  # noqa: B023
        assert changed.status is Status.FAILED
        assert changed.detail.startswith("figure 1 s")
    assert html_step(folder, drawn_by_another(page).replace("no match", "a match")).status is Status.FAILED


def test_figures_of_other_colours_are_found(folder):
    """Derived and independent models have a colour each."""
    page = (folder / "report.html").read_text()
    exchanged = drawn_by_another(page, lambda svg: svg.replace(b"#0072b2", b"#c4560a"))
    step = html_step(folder, exchanged)
    assert (step.status, "other colours" in step.detail) == (Status.FAILED, True)


def test_figures_that_cannot_be_compared_are_not_checked(folder):
    """Drawn in another way altogether: nobody can tell, and so it does not pass."""
    page = (folder / "report.html").read_text()
    step = html_step(folder, drawn_by_another(page, lambda svg: svg.replace(b"</svg>", b'<path d="M 1 1"/></svg>')))
    assert (step.status, step.passed) == (Status.NOT_CHECKED, False)


def test_a_pdf_of_the_same_programs_is_compared_byte_for_byte(folder):
    """One bit changed is found; of a PDF that names other programs words, points and attachments are compared."""
    path = folder / "report.pdf"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert list(failures := failed(folder)) == ["report.pdf is the same"]
    assert "altered" in failures["report.pdf is the same"]
    content[len(content) // 2] ^= 1
    path.write_bytes(content.replace(b"<pdf:Keywords>typst ", b"<pdf:Keywords>tipst "))
    write_sums(AuditFolder(folder))
    (step,) = (step for step in verify_folder(folder) if step.name == "report.pdf is the same")
    assert (step.passed, "every word and all that is attached agree" in step.detail) == (True, True)


def test_missing_bundle_and_transcript_fail_their_steps(folder):
    """Without the evidence itself, only the list of hashes is left to check."""
    shutil.rmtree(folder / "bundle")
    (folder / "transcript.jsonl").unlink()
    assert list(failed(folder)) == STEPS[1:]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_that_is_no_audits_is_refused(tmp_path, name):
    """A folder with none of the files is the user's mistake."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="is no audit's folder"):
        verify_folder(tmp_path / name)


@pytest.mark.parametrize(
    ("recorded", "recomputed", "difference"),
    [
        ({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2}]}, None),
        ({"a": [1, {"b": 3}]}, {"a": [1, {"b": 2}]}, "a[1].b is 3, recomputed it is 2"),
        ({"a": True}, {"a": 1}, "a is true, recomputed it is 1"),
        ({"a": None}, {"a": 0.0}, "a is null, recomputed it is 0.0"),
        ({"a": float("nan")}, {"a": 1.0}, "a is NaN, recomputed it is 1.0"),
        ([1], [1, 2], "the whole is [1], recomputed it is [1, 2]"),
    ],
)
def test_first_difference(recorded, recomputed, difference):
    """Numbers are compared by value, everything else exactly; the place of a difference is told."""
    assert first_difference(recorded, recomputed) == difference


def test_csv_numbers_are_compared_as_numbers():
    """Cells are compared by value, lists of numbers in them as well."""
    assert csv_difference(b'a,b\n1.0,"[0.5, null]"\n', b'a,b\n1,"[0.50, null]"\n') is None
    assert csv_difference(b"a\nx\n", b"a\ny\n") == 'rows[1][0] is "x", recomputed it is "y"'


TARGETED = "target bits follow from identity and nonce"


def targeted_folder(path, bundle):
    folder = make_folder(path, linear_model(make_task(), 0), bundle=bundle)
    write_reports(folder)
    return folder


def test_a_targeted_fingerprint_has_a_step_of_its_own(tmp_path):
    """The bits are derived again from the identity and the nonce, which the step names."""
    folder = targeted_folder(tmp_path, make_targeted_bundle())
    assert failed(folder) == {}
    last = verify_folder(folder)[-1]
    assert (last.number, last.name, last.passed) == (len(STEPS) + 1, TARGETED, True)
    assert last.detail == f"32 x 2 bits of the identity 'Toy & Sons Ltd' and the nonce {'00' * 31}2a"


@pytest.mark.soak
@pytest.mark.parametrize("part", ["bits", "splits", "identity", "nonce"])
def test_a_fingerprint_that_was_shopped_for_is_found(tmp_path, part):
    """Bits that fit a suspect's answers, sealed and audited as if they were the owner's, fail their step alone."""
    bundle = make_targeted_bundle()
    tensors = {name: value.copy() for name, value in bundle.verifier.tensors.items()}
    if part in tensors:
        tensors[part][0] *= -1
    named = {"identity": "Toy & Sons Ltd.", "nonce": "1" * 64}
    provenance = {**bundle.provenance, **{part: named[part] for part in named.keys() & {part}}}
    verifier = dataclasses.replace(bundle.verifier, tensors=tensors)
    weight = scores_in_full(verifier, bundle.calibration).fit_weight()
    forged = dataclasses.replace(bundle, verifier=verifier, weight=weight, provenance=provenance)
    assert list(failures := failed(targeted_folder(tmp_path, forged))) == [TARGETED]
    assert "are not those of the identity 'Toy & Sons Ltd" in failures[TARGETED]


def test_a_verification_reads_the_transcript_once(folder, monkeypatch):
    """All steps look at the same records, whatever the reader knows from elsewhere."""
    lines, read = [], Replay.read

    def counted(replay, line):
        lines.append(line)
        return read(replay, line)

    monkeypatch.setattr(Replay, "read", counted)
    monkeypatch.setattr(weighing, "read_records", None)
    failures = [step.name for step in verify_folder(folder, Expected(roots="")) if not step.passed]
    assert failures == ["seal at the end"]
    assert b"".join(lines) == (folder / "transcript.jsonl").read_bytes()
