"""report.html: one file that asks for nothing, runs nothing, and says what the PDF says."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pypdf
import pytest

from metav_audit.progress import printable
from metav_audit.report import load_report, write_reports
from metav_audit.report.as_html import render_html
from metav_audit.report.layout import lay_out
from metav_audit.task import ClassScores, TaskSpec
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' {{ 7*7 }} {% raw %} &lt;b&gt; <!-- -->\n\u202eevil"
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "header",
    "footer",
    "section",
    "article",
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "span",
    "strong",
    "em",
    "i",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "figure",
    "figcaption",
    "img",
    "a",
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "src", "alt", "style", "scope", "href"}


class Page(HTMLParser):
    """Tags, attributes and words of a page."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.attributes, self.words, self.headings, self._tag = set(), [], [], [], ""
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self._tag = tag

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self._tag != "style":
            self.words.append(data)
        if self._tag == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = make_folder(tmp_path_factory.mktemp("audit"), linear_model(make_task(), 0), unanswered=(2,))
    write_reports(made)
    return made


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report with markup in every text that comes from outside."""
    labels = (HOSTILE, "</td>", "a" * 500, "'\"")
    task = TaskSpec(make_task().domain, ClassScores(labels))
    bundle = dataclasses.replace(make_bundle(task=task), name=HOSTILE)
    endpoint = {"name": HOSTILE, "url": f"http://x/{HOSTILE}", "options": {HOSTILE: [HOSTILE]}}
    path, model = tmp_path_factory.mktemp("hostile"), linear_model(task, 9, base=9)
    made = make_folder(path, model, bundle=bundle, unanswered=(1,), reason=HOSTILE, endpoint=endpoint)
    report = load_report(AuditFolder(made))
    custody = dataclasses.replace(report.custody, operator={HOSTILE: HOSTILE}, clock=HOSTILE)
    return dataclasses.replace(report, custody=custody, identities=({HOSTILE: HOSTILE},))


def test_it_asks_for_nothing_and_runs_nothing(folder):
    """Only known tags, no event attributes, no address but data; the page's own policy forbids the rest."""
    content = (folder / "report.html").read_bytes()
    page = Page(content)
    assert page.tags <= TAGS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert all(value.startswith("data:image/") for name, value in page.attributes if name in ("src", "href"))
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes
    style = content.partition(b"<style>")[2].partition(b"</style>")[0]
    assert b"url(" not in style
    assert b"@import" not in style


def test_foreign_text_is_text(hostile):
    """Markup, templates, comments and overrides in names, labels, reasons and options come out as what they are."""
    content = render_html(hostile)
    page = Page(content)
    assert page.tags <= TAGS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert not any("alert" in value for _, value in page.attributes)
    assert printable(HOSTILE) in page.words
    assert "\u202e" not in content.decode()
    assert b"<!-- -->" not in content


def test_html_and_pdf_say_the_same_in_the_same_order(folder):
    """Every heading and sentence is in both, the headings in the same order."""
    report = load_report(AuditFolder(folder))
    page = Page((folder / "report.html").read_bytes())
    html = "".join("".join(page.words).split())
    pages = pypdf.PdfReader(folder / "report.pdf").pages
    pdf = "".join("".join(page.extract_text() for page in pages).replace("\u200b", "").split())
    quotes = str.maketrans({"\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'"})
    texts = [report.wording.headline, *report.wording.weight, *report.wording.other_side, *report.wording.limits]
    texts += [text for step in report.wording.method for text in step]
    titles = [section.title for section in lay_out(report).sections]
    for text in [*texts, *titles]:
        assert "".join(text.split()) in html
        assert "".join(text.split()).translate(quotes) in pdf.translate(quotes)
    assert page.headings == titles


def test_figures_and_inputs_are_inside(folder):
    """Each figure and each input is an image with a text for those who cannot see it."""
    page = Page((folder / "report.html").read_bytes())
    images = [value for name, value in page.attributes if name == "src"]
    assert sum(value.startswith("data:image/svg+xml;base64,") for value in images) == 5
    assert sum(value.startswith("data:image/png;base64,") for value in images) == 12
    texts = [value for name, value in page.attributes if name == "alt"]
    assert len(texts) == len(images)
    assert all(texts)
