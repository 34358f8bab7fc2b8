"""The summary of many audits: the gravest first, every folder counted, the control and chance taken into account."""

from __future__ import annotations

import io

import pandas as pd
import pypdf
import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.report.as_csv import SUMMARY_COLUMNS
from metav_audit.report.summary import is_fleet, read_entries, write_summary
from metav_audit.verdict import ControlRecord
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder

TASK, BUNDLE = make_task(), make_bundle()
NEAR, FAR, TARGET = linear_model(TASK, 5, distance=0.03), linear_model(TASK, 9, distance=3.0), linear_model(TASK, 0)


def control(folder, name, *, passed):
    record = ControlRecord(name, passed, "match" if passed else "no_match", None, "0" * 64, "0" * 64)
    (folder / "positive-control.json").write_bytes(record.to_bytes())


@pytest.fixture
def fleet(tmp_path):
    """Five audits, one of them cut short, one of them the control of the others; and a folder of another kind."""
    for name, model, left in (("far", FAR, ()), ("near", NEAR, ()), ("silent", TARGET, range(5)), ("own", TARGET, ())):
        make_folder(tmp_path / name, model, bundle=BUNDLE, unanswered=left, endpoint={"name": name})
        if name != "own":
            control(tmp_path / name, "own", passed=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "transcript.jsonl").write_bytes(b"{")
    (tmp_path / "notes").mkdir()
    return tmp_path


def rows(folder):
    return pd.read_csv(folder / "summary.csv", keep_default_na=False)


def test_the_gravest_comes_first_after_the_control(fleet):
    """Control, match, no verdict, inconclusive, no match; one without a verdict says why, and not where it lies."""
    write_summary(read_entries(fleet), fleet)
    frame = rows(fleet)
    assert tuple(frame.columns) == SUMMARY_COLUMNS
    assert frame["endpoint"].tolist() == ["own", "near", "cut", "silent", "far"]
    assert frame["outcome"].tolist() == ["match", "match", "", "inconclusive", "no_match"]
    assert frame["control"].tolist() == ["is the control", "passed", "", "passed", "passed"]
    assert "lacks bundle, verdict.json" in frame["reasons"][2]
    assert str(fleet) not in (fleet / "summary.csv").read_text()


def test_within_an_outcome_the_highest_score_comes_first(tmp_path):
    """Of matches with one ratio, cut at its bound, the higher score stands above."""
    for name, by in (("a", 0.04), ("b", 0.01), ("c", 0.02)):
        make_folder(tmp_path / name, linear_model(TASK, 5, distance=by), bundle=BUNDLE, endpoint={"name": name})
    write_summary(read_entries(tmp_path), tmp_path, ("csv",))
    frame = rows(tmp_path)
    assert frame["endpoint"].tolist() == ["b", "c", "a"]
    assert frame["log10_lr"].nunique() == 1


def test_html_links_each_folders_own_report(fleet):
    """Links are relative and quoted; a folder without a verdict has none."""
    (fleet / "far").rename(fleet / 'a "b" & c')
    write_summary(read_entries(fleet), fleet, ("html",))
    content = (fleet / "summary.html").read_text()
    assert 'href="near/report.html"' in content
    assert 'href="a%20%22b%22%20%26%20c/report.html"' in content
    assert content.count("<a ") == 4
    assert "<script" not in content


def test_p_values_are_corrected_for_every_endpoint_that_was_asked(fleet):
    """Those without a verdict count, too, and the control does not."""
    write_summary(read_entries(fleet), fleet, ("csv",))
    frame = rows(fleet)
    asked = pd.to_numeric(frame["p_value_corrected"])
    assert asked.isna().tolist() == [True, False, True, True, False]
    assert asked[1] == pytest.approx(4 * float(frame["p_value"][1]))


def test_pdf_is_the_same_twice_and_says_what_chance_would_bring(fleet):
    """The same audits give the same bytes; the expected number of chance matches stands below the table."""
    entries = read_entries(fleet)
    write_summary(entries, fleet, ("pdf",))
    first = (fleet / "summary.pdf").read_bytes()
    write_summary(entries[::-1], fleet, ("pdf",))
    assert (fleet / "summary.pdf").read_bytes() == first
    text = " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(first)).pages).split())
    assert "1 match, 1 without a verdict, 1 inconclusive, 1 no match." in text
    assert "for 4 endpoints asked (Holm 1979)" in text
    assert "Here that is none of 1 match." in text


def test_a_failed_control_is_said_above_the_table(fleet):
    """Where the control failed, the page says that nothing of the run stands, and the CSV says it row by row."""
    for name in ("far", "near", "silent"):
        control(fleet / name, "own", passed=False)
    write_summary(read_entries(fleet), fleet)
    assert "no verdict of this run stands" in (fleet / "summary.html").read_text()
    assert rows(fleet)["control"].tolist()[1:] == ["failed", "", "failed", "failed"]


def test_what_is_a_fleet(fleet):
    """A folder of audits is one; an audit's own folder and an empty one are not."""
    assert is_fleet(fleet)
    assert not is_fleet(fleet / "near")
    assert not is_fleet(fleet / "notes")
    with pytest.raises(ConfigurationError, match="holds no audits"):
        read_entries(fleet / "notes")


def test_an_unknown_format_is_refused(fleet):
    """A summary has no JSON; the message says what it has."""
    with pytest.raises(ConfigurationError, match="no format 'json': use one of csv, html, pdf"):
        write_summary(read_entries(fleet), fleet, ("json",))
    assert not list(fleet.glob("summary.*"))
