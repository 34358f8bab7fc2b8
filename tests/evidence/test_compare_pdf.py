"""A PDF report that other programs made: its words, what it carries and what it draws are compared."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import replace

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf.generic import DecodedStreamObject, NameObject

from metav_audit.errors import EvidenceError
from metav_audit.evidence import NotComparedError, pdf_agreement
from metav_audit.report import load_report
from metav_audit.report.as_pdf import render_pdf
from metav_audit.report.attachments import attach
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_task
from tests.folders import close, make_folder
from tests.scale import at_scale

CARRIED = [attach("report.csv", b"query,answer\n1,2\n", "data")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = AuditFolder(make_folder(tmp_path_factory.mktemp("pdf") / "suspect", linear_model(make_task(), 0)))
    close(folder, sealed=False)
    return load_report(folder)


@pytest.fixture(scope="module")
def pdf(report):
    return render_pdf(report, CARRIED)


def by_another(pdf, draw=lambda page: page):
    """The same pages in a file that another program writes, drawn in other words."""
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    writer = pypdf.PdfWriter(clone_from=reader)
    for page in writer.pages:
        drawn = DecodedStreamObject()
        drawn.set_data(draw(page.get_contents().get_data()))
        page[NameObject("/Contents")] = writer._add_object(drawn)
    file = io.BytesIO()
    writer.write(file)
    assert file.getvalue() != pdf
    return file.getvalue()


def moved(by):
    """Every line of a page ends so many points further right."""

    def draw(page):
        return re.sub(rb"([-0-9.]+) ([-0-9.]+) l\n", lambda to: b"%.4f %s l\n" % (float(to[1]) + by, to[2]), page)

    return draw


def test_the_same_page_of_another_program_agrees(pdf):
    """Other bytes, the same words, attachments and points; and points that lie apart by what matplotlibs differ."""
    assert "every point" in pdf_agreement(by_another(pdf), pdf)
    assert "every point" in pdf_agreement(by_another(pdf, moved(0.6)), pdf)


def test_another_outcome_is_found(report, pdf):
    """The verdict's word on the cover is another."""
    other = replace(report, verdict=replace(report.verdict, outcome="no_match", p_value=0.9))
    with pytest.raises(EvidenceError, match=r"page 1 says"):
        pdf_agreement(by_another(render_pdf(other, CARRIED)), pdf)


def test_a_page_too_few_or_too_many_is_found(pdf):
    """Whatever it says."""
    for keep in (slice(0, -1), slice(None)):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf))
        if keep == slice(None):
            writer.add_page(pypdf.PdfReader(io.BytesIO(pdf)).pages[0])
        else:
            del writer.pages[-1]
        file = io.BytesIO()
        writer.write(file)
        with pytest.raises(EvidenceError, match="nothing"):
            pdf_agreement(file.getvalue(), pdf)


@pytest.mark.parametrize(
    "carried", [[], [attach("report.csv", b"query,answer\n1,3\n", "data")], [*CARRIED, attach("more.csv", b"", "data")]]
)
def test_what_it_carries_is_compared(report, pdf, carried):
    """Nothing, another table, a file more."""
    with pytest.raises(EvidenceError, match="carries another"):
        pdf_agreement(by_another(render_pdf(report, carried)), pdf)


def test_other_points_are_found(pdf):
    """A line that ends elsewhere; what is drawn in another way altogether is not compared, and does not pass."""
    with pytest.raises(EvidenceError, match="other points"):
        pdf_agreement(by_another(pdf, moved(9)), pdf)
    with pytest.raises(NotComparedError, match="in another way"):
        pdf_agreement(by_another(pdf, lambda page: page + b"\n0 0 m 9 9 l S\n"), pdf)


@pytest.mark.scaled
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=at_scale(6, 60))
@given(st.data())
def test_whatever_the_file_holds_is_an_error_of_the_file(pdf, data):
    """Cut, or with bytes changed: an agreement, or one of two errors."""
    content = bytearray(pdf)
    for at in data.draw(st.lists(st.integers(0, len(pdf) - 1), max_size=20)):
        content[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(pdf)), st.integers(0, len(pdf))))
    with contextlib.suppress(EvidenceError, NotComparedError):
        pdf_agreement(bytes(content[:end]), pdf)


def test_other_colours_are_found(pdf):
    """Derived and independent models have a colour each: exchanged, the figures say the opposite."""

    def recoloured(page):
        return re.sub(rb"([0-9.]+) ([0-9.]+) ([0-9.]+) (rg|scn|sc|RG|SCN|SC)\b", rb"\3 \2 \1 \4", page)

    with pytest.raises(EvidenceError, match="other colours"):
        pdf_agreement(by_another(pdf, recoloured), pdf)


@pytest.mark.parametrize(
    "damaged", [lambda pdf: pdf[:9000], lambda pdf: b"%PDF-1.7\x1b[2J" + pdf[100:], lambda pdf: b"%PDF"]
)
def test_nothing_of_a_damaged_file_reaches_the_terminal(pdf, capfd, caplog, damaged):
    """The library that reads it would warn in the file's own words."""
    with pytest.raises((EvidenceError, NotComparedError)):
        pdf_agreement(damaged(pdf), pdf)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
