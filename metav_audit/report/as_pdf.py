"""report.pdf: typeset by Typst from report.typ, deterministically, with fonts that come with it."""

from __future__ import annotations

import importlib.resources
import json
import tempfile
from pathlib import Path

import typst

from metav_audit.report.figures import strip_plot
from metav_audit.report.layout import lay_out, picture_name
from metav_audit.report.model import EvidenceReport

TEMPLATE = "report.typ"


def render_pdf(report: EvidenceReport) -> bytes:
    """Typeset the report; the same report gives the same bytes."""
    text = json.dumps(lay_out(report), ensure_ascii=False)
    with tempfile.TemporaryDirectory(prefix="metav-audit-") as name:
        folder = Path(name)
        template = importlib.resources.files("metav_audit.report").joinpath(TEMPLATE)
        (folder / TEMPLATE).write_bytes(template.read_bytes())
        # Foreign text reaches the typesetter as data alone, never as markup.
        (folder / "report.json").write_text(text, encoding="utf-8")
        _write_pictures(report, folder)
        pdf = typst.compile(folder / TEMPLATE, root=folder, ignore_system_fonts=not _needs_more_fonts(text))
    assert isinstance(pdf, bytes)
    return pdf


def _write_pictures(report: EvidenceReport, folder: Path) -> None:
    if report.verdict.score is not None:
        (folder / "scores.svg").write_bytes(strip_plot(report.sides, report.verdict.score))
    for query in report.queries:
        if query.picture:
            (folder / picture_name(query)).write_bytes(query.picture)


def _needs_more_fonts(text: str) -> bool:
    """Say whether a letter is beyond Latin, Greek and Cyrillic, which the typesetter's own fonts cover."""
    return any(ord(letter) > 0x52F and letter.isalpha() for letter in text)
