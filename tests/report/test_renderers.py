"""JSON, CSV and PDF of one report: the same bytes every time, and foreign text always as text."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys

import pandas as pd
import pypdf
import pytest

from metav_audit.errors import BundleError, ConfigurationError, TranscriptError
from metav_audit.progress import printable
from metav_audit.report import load_report, write_reports
from metav_audit.report.as_csv import COLUMNS
from metav_audit.report.figures.scores import EDGE, log_odds, place_dots
from metav_audit.report.layout.answers import MAX_CARDS, choose_cards
from metav_audit.report.layout.values import number_ranges
from metav_audit.report.text import shorten
from metav_audit.task import ClassScores, TaskSpec
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder

HOSTILE = '#let x = 1 *b* _i_ <script>alert(1)</script> $x^2$ \\ `r` @ref [a] "q" // /* {made}\n\u202eevil'
LABELS = (HOSTILE, "=SUM(A1)", "#panic()", "+1", "@x", "-2", "\t=1", "L" * 3000)


def pdf_text(path):
    pages = [page.extract_text() for page in pypdf.PdfReader(path).pages]
    return " ".join(" ".join(pages).replace("\u200b", "").split())


@pytest.fixture
def hostile(tmp_path):
    task = TaskSpec(make_task().domain, ClassScores(LABELS))
    bundle = dataclasses.replace(make_bundle(task=task), name=HOSTILE)
    endpoint = {"name": HOSTILE, "url": "http://x/" + "a" * 3000, "options": {HOSTILE: HOSTILE}}
    model = linear_model(task, 9, base=9)
    folder = make_folder(
        tmp_path, model, bundle=bundle, unanswered=(1,), reason="=cmd|' /C calc'!A0", endpoint=endpoint
    )
    write_reports(folder)
    return folder


def test_the_same_evidence_gives_the_same_bytes(tmp_path):
    """Written twice, in two folders and two processes, all four files are the same."""
    folders = [make_folder(tmp_path / name, linear_model(make_task(), 0)) for name in "ab"]
    write_reports(folders[0])
    code = (
        "import pathlib; from metav_audit.report import write_reports; "
        f"write_reports(pathlib.Path({str(folders[1])!r}))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    for name in ("report.json", "report.csv", "report.html", "report.pdf"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def test_pdf_is_dated_by_the_transcript(tmp_path):
    """The document's date is the transcript's last, not the present."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0))
    write_reports(folder, ("pdf",))
    assert pypdf.PdfReader(folder / "report.pdf").metadata.creation_date.isoformat() == "2026-03-04T10:07:00+00:00"


def test_pdf_holds_the_verdict_and_the_whole_hashes(tmp_path):
    """The headline, both propositions, every hash and every query's number can be read in the PDF."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0), unanswered=(2,))
    write_reports(folder, ("pdf",))
    report, text = load_report(AuditFolder(folder)), pdf_text(folder / "report.pdf")
    wanted = [report.wording.headline, report.wording.derivation, report.wording.independence, *report.hashes.values()]
    for sentence in [*wanted, "could not have been finer than 1/31", "the endpoint failed with status 503 four times"]:
        assert sentence in text
    assert all(f"Query {number}" in text for number in range(6))


def test_csv_has_one_row_a_query_and_the_documented_columns(tmp_path):
    """The CSV reads back with pandas: columns in order, an empty cell where there is nothing."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0), unanswered=(2,))
    write_reports(folder, ("csv",))
    frame = pd.read_csv(folder / "report.csv")
    assert tuple(frame.columns) == COLUMNS
    assert frame["query"].tolist() == list(range(6))
    assert frame["status"].value_counts().to_dict() == {"answered": 5, "unanswered": 1}
    assert frame.loc[2, ["suspect_label", "labels_agree", "divergence", "suspect_probabilities"]].isna().all()
    assert sum(json.loads(frame.loc[0, "suspect_probabilities"])) == pytest.approx(1)


def test_csv_cells_are_no_formulas(hostile):
    """No cell begins as a spreadsheet's formula does; line breaks and overrides are shown as escapes."""
    content = (hostile / "report.csv").read_text(encoding="utf-8")
    frame = pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    assert not frame.map(lambda cell: cell.startswith(("=", "+", "-", "@", "\t", "\r"))).any().any()
    assert frame.loc[1, "reason"] == "'=cmd|' /C calc'!A0"
    assert frame.loc[0, "endpoint"] == printable(HOSTILE)
    assert "\u202e" not in content


def test_pdf_prints_foreign_text_as_text(hostile):
    """Markup in names, labels, reasons and options is printed, not obeyed, and nothing rearranges a line."""
    text = pdf_text(hostile / "report.pdf")
    compact = text.replace(" ", "")
    assert printable(HOSTILE).replace(" ", "") in compact
    assert "=cmd|'/Ccalc'!A0" in compact.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    assert "a" * 900 in compact
    assert "\u202e" not in text


def test_json_keeps_foreign_text_whole(hostile):
    """The JSON report holds every name as it came, and no picture."""
    fields = json.loads((hostile / "report.json").read_bytes())
    assert fields["endpoint"]["name"] == fields["model_name"] == HOSTILE
    assert tuple(fields["labels"]) == LABELS
    assert "picture" not in fields["queries"][0]
    assert fields["verdict"] == json.loads((hostile / "verdict.json").read_bytes())


def test_lone_surrogates_break_no_file(tmp_path):
    """A name that no encoding can hold is escaped."""
    bundle = make_bundle()
    folder = make_folder(tmp_path, linear_model(make_task(), 0), bundle=bundle)
    report = load_report(AuditFolder(folder))
    report = dataclasses.replace(report, endpoint=dataclasses.replace(report.endpoint, name="a\ud800b"))
    from metav_audit.report.as_csv import render_csv
    from metav_audit.report.as_json import render_json
    from metav_audit.report.as_pdf import render_pdf

    assert b"a\\ud800b" in render_csv(report)
    assert json.loads(render_json(report))["endpoint"]["name"] == "a\ud800b"
    assert render_pdf(report).startswith(b"%PDF")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("task", "queries", "options"),
    [
        (make_task(classes=2, side=3), 1, {}),
        (make_task(classes=2), 1, {"unanswered": (0,)}),
        (make_task(classes=100, side=4), 6, {}),
        (make_task(channels=3), 100, {"unanswered": (7,)}),
        (make_task(), 6, {"unanswered": range(6)}),
        (make_task(), 6, {"hidden": 2}),
    ],
    ids=["one query", "one unanswered", "100 classes", "100 colour queries", "nothing answered", "hidden classes"],
)
def test_every_shape_of_audit_gets_a_pdf(tmp_path, task, queries, options):
    """Few or many queries, classes, channels or answers: the report is typeset and says its headline."""
    bundle = make_bundle(queries=queries, task=task, lineages=5)
    folder = make_folder(tmp_path, linear_model(task, 0), bundle=bundle, **options)
    assert [path.name for path in write_reports(folder)] == [
        "report.json",
        "report.csv",
        "report.html",
        "report.pdf",
    ]
    assert load_report(AuditFolder(folder)).wording.headline in pdf_text(folder / "report.pdf")


def test_many_queries_show_the_first_and_the_most_divergent(tmp_path):
    """Beyond the limit, half the cards are the first queries and half the most divergent of the others."""
    task = make_task()
    bundle = make_bundle(queries=60, lineages=3)
    queries = load_report(
        AuditFolder(make_folder(tmp_path, linear_model(task, 9, distance=0.5), bundle=bundle))
    ).queries
    chosen = {query.number for query in choose_cards(queries)}
    left_out = [query.divergence for query in queries if query.number not in chosen]
    assert len(chosen) == MAX_CARDS
    assert set(range(MAX_CARDS // 2)) <= chosen
    assert max(left_out) <= min(query.divergence for query in queries[MAX_CARDS // 2 :] if query.number in chosen)


def test_importing_the_package_loads_no_renderer():
    """metav_audit.report alone loads neither pandas nor matplotlib nor typst nor torch."""
    code = (
        "import sys, metav_audit.report; "
        "print(*{'pandas', 'matplotlib', 'typst', 'torch', 'httpx', 'PIL'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b""


@pytest.mark.parametrize(
    ("name", "error"),
    [("bundle", ConfigurationError), ("transcript.jsonl", ConfigurationError), ("verdict.json", ConfigurationError)],
)
def test_a_folder_without_a_part_is_refused(tmp_path, name, error):
    """A folder that lacks the bundle, the transcript or the verdict is no audit's, and the message says which."""
    folder = make_folder(tmp_path / "audit", linear_model(make_task(), 0))
    (folder / name).rename(tmp_path / "away")
    with pytest.raises(error, match=f"lacks {name}"):
        write_reports(folder)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    """A misspelt format writes nothing."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0))
    with pytest.raises(ConfigurationError, match="'docx' is unknown: use one of json, csv, html, pdf"):
        write_reports(folder, ("json", "docx"))
    assert not (folder / "report.json").exists()


@pytest.mark.parametrize("content", ['{"outcome": "no_match"}', "{}", "not json", "[]"])
def test_a_verdict_that_does_not_follow_is_not_printed(tmp_path, content):
    """A verdict.json that contradicts the evidence stops the report."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0))
    (folder / "verdict.json").write_text(content)
    with pytest.raises(TranscriptError, match="does not follow"):
        write_reports(folder)


def test_a_damaged_bundle_is_refused(tmp_path):
    """A damaged bundle is the bundle's own error."""
    folder = make_folder(tmp_path, linear_model(make_task(), 0))
    (folder / "bundle" / "manifest.json").write_text("{")
    with pytest.raises(BundleError):
        write_reports(folder)


def test_saturated_scores_stay_apart_in_the_figure():
    """Scores near 0 and 1 differ on the axis, and dots of one score do not hide each other."""
    assert log_odds(1 - 1e-4) < log_odds(1 - 1e-6) < log_odds(1.0) == EDGE == -log_odds(0.0)
    assert len(set(place_dots([1.0] * 50))) == 50
    assert len(set(place_dots([0.5] * 50))) == 50


def test_text_helpers():
    """Hidden characters are shown, long texts cut, runs of numbers joined."""
    assert printable("a\n\x00\u200b\ue000é中") == "a\\n\\x00\\u200b\\ue000é中"
    assert shorten("abcdef", 4) == "abc…"
    assert number_ranges([9, 3, 0, 4, 5]) == "0, 3\N{EN DASH}5, 9"


FORMULAS = ["=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", " =1", "a;=1", "a; +1", "x;\uff1d1", "\uff1b"]


def test_every_csv_cell_is_quoted_and_no_part_of_it_a_formula(tmp_path):
    """Behind a semicolon, which parts cells in some locales, and in full width; numbers and JSON stay as they were."""
    from metav_audit.report.as_csv import render_csv

    report = load_report(AuditFolder(make_folder(tmp_path, linear_model(make_task(), 0))))
    queries = tuple(dataclasses.replace(report.queries[0], reason=text) for text in FORMULAS)
    content = render_csv(dataclasses.replace(report, queries=queries)).decode()
    rows = content.splitlines()
    assert all(row.startswith('"') and row.endswith('"') for row in rows)
    assert all(row.count('","') == len(COLUMNS) - 1 for row in rows)
    frame = pd.read_csv(io.StringIO(content))
    wanted = [
        "'=1+1",
        "'\uff1d1+1",
        "'\uff0b1",
        "'\uff0d1",
        "'\uff20x",
        " '=1",
        "a;'=1",
        "a; '+1",
        "x;'\uff1d1",
        "\uff1b",
    ]
    assert frame["reason"].tolist() == wanted
    assert frame["query"].dtype.kind == "i"
    assert sum(json.loads(frame.loc[0, "suspect_probabilities"])) == pytest.approx(1)


def test_the_host_and_the_addresses_that_answered_stand_side_by_side(tmp_path):
    """In one line of the annex, each address once; a folder without addresses has no such line."""
    from metav_audit.report.as_html import render_html

    report = load_report(AuditFolder(make_folder(tmp_path, linear_model(make_task(), 0))))
    assert b"answered from" not in render_html(report)
    peers = (
        {"address": "192.0.2.7:443"},
        {"address": "192.0.2.7:443", "server": "b"},
        {"address": "[2001:db8::1]:443"},
    )
    text = render_html(dataclasses.replace(report, identities=peers)).decode()
    assert "127.0.0.1:8080, answered from 192.0.2.7:443, [2001:db8::1]:443" in text
