"""report.pdf: an archival file that carries its evidence, the same bytes for the same evidence, in any script."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import subprocess
import sys

import pypdf
import pytest

from metav_audit.errors import EvidenceError
from metav_audit.report import attachments, load_report, write_reports
from metav_audit.report.as_pdf import is_made_here, paper_of, render_pdf, typeset
from metav_audit.report.blocks import Paragraph
from metav_audit.report.document import Document, Section
from metav_audit.report.text import _COVERED, escape_rare
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_task
from tests.folders import make_folder

NAMES = ["bodies.pack", "bundle/manifest.json", "bundle/tensors.safetensors", "transcript.jsonl", "verdict.json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = make_folder(tmp_path_factory.mktemp("audit"), linear_model(make_task(), 0), unanswered=(2,))
    write_reports(made)
    return made


@pytest.fixture(scope="module")
def pdf(folder):
    return pypdf.PdfReader(folder / "report.pdf")


def attached(pdf):
    """The attached files' specifications, by the path that their description names."""
    names = pdf.trailer["/Root"]["/Names"]["/EmbeddedFiles"]["/Names"]
    specs = [names[at].get_object() for at in range(1, len(names), 2)]
    return {spec["/Desc"].split(" of ")[0]: spec for spec in specs}


def document(text):
    return Document("t", "h", "s", "f", "2026-03-04T10:00:00+00:00", None, (Section("x", (Paragraph(text),)),))


def test_it_says_that_it_is_pdf_a_3b_and_has_what_that_needs(pdf):
    """XMP names part 3 and level B, colours have an output intent, fonts are embedded, and nothing is encrypted."""
    root = pdf.trailer["/Root"]
    xmp = root["/Metadata"].get_object().get_data()
    assert b"<pdfaid:part>3</pdfaid:part>" in xmp
    assert b"<pdfaid:conformance>B</pdfaid:conformance>" in xmp
    assert b"<pdfuaid:part>1</pdfuaid:part>" in xmp
    assert root["/OutputIntents"][0]["/S"] == "/GTS_PDFA1"
    assert len(root["/OutputIntents"][0]["/DestOutputProfile"].get_object().get_data()) > 100
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en-US"
    assert not pdf.is_encrypted
    assert "/OpenAction" not in root
    fonts = [font.get_object() for page in pdf.pages for font in page["/Resources"]["/Font"].values()]
    for font in fonts:
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert descriptor.keys() & {"/FontFile2", "/FontFile3"}
        assert "/ToUnicode" in font


def test_the_evidence_is_attached_byte_for_byte(folder, pdf):
    """Every file of the evidence is an associated file of the document, with its media type and its very bytes."""
    specs = attached(pdf)
    assert sorted(specs) == sorted([*NAMES, "report.csv"])
    associated = [each.get_object()["/UF"] for each in pdf.trailer["/Root"]["/AF"]]
    assert sorted(associated) == sorted(name.replace("/", "-") for name in specs)
    for name, spec in specs.items():
        stream = spec["/EF"]["/F"].get_object()
        assert stream.get_data() == (folder / name).read_bytes()
        assert spec["/AFRelationship"] == ("/Data" if name == "report.csv" else "/Source")
        assert stream["/Subtype"].startswith(("/application", "/text"))


def test_hashes_printed_are_those_of_the_attached_files(pdf):
    """Whoever hashes what is attached finds the value in Annex B."""
    text = "".join("".join(page.extract_text() for page in pdf.pages).replace("\u200b", "").split())
    for name in NAMES:
        assert hashlib.sha256(attached(pdf)[name]["/EF"]["/F"].get_object().get_data()).hexdigest() in text


def test_a_large_file_is_named_with_its_hash_and_left_out(folder, monkeypatch):
    """Above the limit, hash and size stand for the file, and the report says so."""
    monkeypatch.setattr(attachments, "MAX_ATTACHED", 2000)
    monkeypatch.setattr("metav_audit.report.layout.annex.MAX_ATTACHED", 2000)
    report = load_report(AuditFolder(folder))
    assert [each.name for each in attachments.gather(AuditFolder(folder), report.custody.files)] == ["verdict.json"]
    pages = pypdf.PdfReader(io.BytesIO(render_pdf(report))).pages
    text = "".join("".join(page.extract_text() for page in pages).split())
    assert "largerthan2000bytes:transcript.jsonl,bodies.pack,bundle/manifest.json" in text


def test_evidence_that_changes_under_the_report_is_not_attached(folder, tmp_path):
    """A file that is not the one whose hash is printed stops the report."""
    report = load_report(AuditFolder(folder))
    (tmp_path / "verdict.json").write_bytes(b"{}")
    with pytest.raises(EvidenceError, match="was altered while"):
        list(attachments.gather(AuditFolder(tmp_path), report.custody.files))


@pytest.mark.parametrize(("paper", "size"), [("a4", (595, 842)), ("letter", (612, 792))])
def test_paper(folder, paper, size):
    """A4 and US Letter; the PDF says on which it was set, and by which programs."""
    content = render_pdf(load_report(AuditFolder(folder)), paper=paper)
    box = pypdf.PdfReader(io.BytesIO(content)).pages[0].mediabox
    assert (round(box.width), round(box.height)) == size
    assert paper_of(content) == paper
    assert is_made_here(content)
    assert not is_made_here(content.replace(b"<pdf:Keywords>typst ", b"<pdf:Keywords>tipst "))
    assert paper_of(b"%PDF without keywords") == "a4"


@pytest.mark.soak
def test_surroundings_do_not_matter(folder, tmp_path):
    """In processes with other time zones, locales, clocks and fonts: the same PDF."""
    code = (
        "import pathlib; from metav_audit.report import write_reports; "
        f"write_reports(pathlib.Path({str(folder)!r}), ['pdf'], out=pathlib.Path({str(tmp_path)!r}))"
    )
    for world in ({"TZ": "Asia/Tokyo", "FONTCONFIG_FILE": "/dev/null", "LC_ALL": "C"}, {"SOURCE_DATE_EPOCH": "1"}):
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=world)
        assert (tmp_path / "report.pdf").read_bytes() == (folder / "report.pdf").read_bytes()


def test_every_letter_called_covered_has_a_glyph():
    """PDF/A allows no letter without one: the typesetter's own fonts set all that is called covered."""
    letters = [chr(code) for codes in _COVERED for code in codes if chr(code).isprintable()]
    content = typeset(document(" ".join(letters)), {})
    assert b"own fonts" in content


@pytest.mark.soak
@pytest.mark.parametrize("name", ["中文模型", "نموذج", "मॉडल", "\N{GRINNING FACE}", "a\u0600b", "\u0300\u0483"])
def test_any_script_is_set_or_escaped(folder, name):
    """A name that no font at hand can set is shown by its code points; the report is written all the same."""
    report = load_report(AuditFolder(folder))
    named = dataclasses.replace(report, endpoint=dataclasses.replace(report.endpoint, name=name))
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(render_pdf(named))).pages)
    assert name in text or "\\u" in text or "\\U" in text


def test_rare_letters_are_escaped_wherever_they_stand():
    """Lists and objects are gone through; what is covered stays."""
    assert escape_rare({"a": ["é · 猫", 1, None], "b": "\N{GRINNING FACE}"}) == {
        "a": ["é · \\u732b", 1, None],
        "b": "\\U0001f600",
    }
