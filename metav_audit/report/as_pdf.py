"""report.pdf: PDF/A-3b, typeset by Typst from the templates beside this, with the evidence attached.

Fonts come with the typesetter, the date from the evidence, so that the same evidence gives the same bytes. Where text
needs letters that those fonts lack, the machine's own fonts are used, and the bytes are the same wherever they are the
same; what no font has is shown as an escape.
"""

from __future__ import annotations

import importlib.resources
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typst

from metav_audit.report.attachments import Attachment
from metav_audit.report.document import Document
from metav_audit.report.figures import images_of
from metav_audit.report.formats import Paper
from metav_audit.report.layout import lay_out
from metav_audit.report.makers import makers
from metav_audit.report.model import EvidenceReport
from metav_audit.report.text import escape_rare

TEMPLATES = ("report.typ", "style.typ", "cover.typ", "blocks.typ", "cards.typ")
STANDARDS: Any = ["a-3b", "ua-1"]
"""Archival form that may carry attachments, and tagged for those who cannot see it."""

_PAPERS: Mapping[Paper, str] = {"a4": "a4", "letter": "us-letter"}
_OWN, _MACHINES = "own fonts", "fonts of the machine"
_KEYWORDS = re.compile(rb"<pdf:Keywords>([^<]*)</pdf:Keywords>")
_NO_GLYPH = "could not be displayed"


def render_pdf(
    report: EvidenceReport,
    attachments: Iterable[Attachment] = (),
    paper: Paper = "a4",
    images: Mapping[str, bytes] | None = None,
) -> bytes:
    """Typeset the report; the same arguments give the same bytes.

    Args:
        report: what is shown.
        attachments: files that the PDF carries along.
        paper: its size.
        images: ``images_of`` the report, where they are at hand.
    """
    return typeset(lay_out(report), images_of(report) if images is None else images, attachments, paper)


def paper_of(pdf: bytes) -> Paper:
    """Return the paper that a PDF's keywords name; A4 where they name none."""
    named = _named(pdf)
    return next((paper for paper, name in _PAPERS.items() if name in named), "a4")


def is_made_here(pdf: bytes) -> bool:
    """Say whether the programs installed here would make the same bytes of the same evidence.

    They would not where it was made by other versions, on another platform, or with fonts of another machine.
    """
    return _named(pdf) == [*makers("typst", "matplotlib"), _PAPERS[paper_of(pdf)], _OWN]


def _named(pdf: bytes) -> list[str]:
    keywords = _KEYWORDS.search(pdf)
    return keywords[1].decode(errors="replace").split(", ") if keywords else []


def typeset(
    document: Document, images: Mapping[str, bytes], attachments: Iterable[Attachment] = (), paper: Paper = "a4"
) -> bytes:
    """Typeset a document.

    Args:
        document: what its pages say.
        images: the files that it names, by name.
        attachments: files that the PDF carries along.
        paper: its size.
    """
    with tempfile.TemporaryDirectory(prefix="metav-audit-") as name:
        folder = Path(name)
        templates = importlib.resources.files("metav_audit.report")
        for template in TEMPLATES:
            (folder / template).write_bytes(templates.joinpath(template).read_bytes())
        for image, content in images.items():
            (folder / image).write_bytes(content)
        fields = {**document.to_json(), "paper": _PAPERS[paper], "attachments": _lay_down(attachments, folder)}
        return _compile(folder, fields)


def _lay_down(attachments: Iterable[Attachment], folder: Path) -> list[dict[str, str]]:
    described = []
    for number, each in enumerate(attachments):
        file = f"attached-{number}"
        (folder / file).write_bytes(each.content)
        described.append(
            {
                "name": each.name.replace("/", "-"),
                "file": file,
                "media": each.media,
                "relationship": each.relationship,
                "description": f"{each.name} of the audit's folder, byte for byte",
            }
        )
    return described


def _compile(folder: Path, fields: dict[str, Any]) -> bytes:
    """Try the typesetter's own fonts, then the machine's, then escapes: PDF/A allows no letter without a glyph."""
    try:
        return _try(folder, fields, _OWN)
    except typst.TypstError as error:
        if _NO_GLYPH not in str(error):
            raise
    try:
        return _try(folder, fields, _MACHINES)
    except typst.TypstError as error:
        if _NO_GLYPH not in str(error):
            raise
    return _try(folder, escape_rare(fields), _OWN)


def _try(folder: Path, fields: dict[str, Any], fonts: str) -> bytes:
    keywords = [*makers("typst", "matplotlib"), fields["paper"], fonts]
    # Foreign text reaches the typesetter as data alone, never as markup.
    text = json.dumps({**fields, "keywords": keywords}, ensure_ascii=False)
    (folder / "document.json").write_text(text, encoding="utf-8")
    pdf = typst.compile(folder / TEMPLATES[0], root=folder, ignore_system_fonts=fonts == _OWN, pdf_standards=STANDARDS)
    assert isinstance(pdf, bytes)
    return pdf
