"""One EvidenceReport value, written as JSON, CSV, HTML and PDF. Importing this loads no renderer."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metav_audit.errors import ConfigurationError
from metav_audit.evidence import Custody, custody_of
from metav_audit.files import read_regular, write_atomically
from metav_audit.report.attachments import attach, gather
from metav_audit.report.build import build_report
from metav_audit.report.formats import FORMATS, Paper
from metav_audit.report.model import EvidenceReport
from metav_audit.verdict import CLOSING, MAX_FILE_BYTES, AuditFolder, Decision

_PAGES = frozenset({"html", "pdf"})
"""Formats that show figures."""


def write_reports(
    folder: Path | AuditFolder, formats: Sequence[str] = FORMATS, paper: Paper = "a4", out: Path | None = None
) -> list[Path]:
    """Write an audit folder's reports, each whole or not at all; return their paths.

    Args:
        folder: one audit's folder.
        formats: of FORMATS.
        paper: the PDF's.
        out: the folder that they are written into; the audit's own if None.

    Raises:
        ConfigurationError: the folder is no audit's folder, a format is unknown, the folder cannot be written, or it is
            closed, and its reports are others.
        BundleError, TranscriptError, AnswerError: the evidence is damaged, or its parts contradict each other.
    """
    audit = folder if isinstance(folder, AuditFolder) else AuditFolder(Path(folder))
    _check_formats(formats)
    report = load_report(audit)
    written = _rendered(report, audit, formats, paper)
    if out is None and audit.has(CLOSING):
        for name, content in written.items():
            _check_signed(audit / f"report.{name}", content)
    return [_put((out or audit.path) / f"report.{name}", content) for name, content in written.items()]


def _check_signed(path: Path, content: bytes) -> None:
    if not path.exists() or read_regular(path, MAX_FILE_BYTES) != content:
        raise ConfigurationError(
            f"{path.parent} is sealed, and this {path.name} is none that was signed: write it with -o"
        )


def _put(path: Path, content: bytes) -> Path:
    write_atomically(path, content)
    return path


def save_reports(
    report: EvidenceReport, folder: AuditFolder, formats: Sequence[str] = FORMATS, paper: Paper = "a4"
) -> list[Path]:
    """Write a report that was built from ``folder`` into it; see ``write_reports``."""
    _check_formats(formats)
    rendered = _rendered(report, folder, formats, paper)
    return [_put(folder / f"report.{name}", content) for name, content in rendered.items()]


def load_report(folder: AuditFolder) -> EvidenceReport:
    """Build the report of an audit's folder, from the verdict decided anew; see ``write_reports`` for the errors."""
    return report_of(folder, folder.decided())


def report_of(folder: AuditFolder, decision: Decision) -> EvidenceReport:
    """Build the report of a decision, with what vouches for its folder."""
    return build_report(decision, custody_of(folder, decision.bundle, decision.transcript))


def rebuild_reports(folder: AuditFolder, decision: Decision, custody: Custody) -> dict[str, bytes]:
    """Return the reports as they are written from this evidence, by file name, the PDF on the paper of the folder's."""
    from metav_audit.report.as_pdf import paper_of

    report = build_report(decision, custody)
    paper = paper_of(folder.content("report.pdf")) if folder.has("report.pdf") else "a4"
    return {f"report.{name}": content for name, content in _rendered(report, folder, FORMATS, paper).items()}


def _rendered(report: EvidenceReport, folder: AuditFolder, formats: Sequence[str], paper: Paper) -> dict[str, bytes]:
    """Return the report in each format; what several of them hold, figures and the table, is made once."""
    images: Mapping[str, bytes] | None = None
    if _PAGES.intersection(formats):
        from metav_audit.report.figures import images_of

        images = images_of(report)
    written = {name: _renderer(name)(report) for name in formats if name not in _PAGES}
    if "html" in formats:
        written["html"] = _renderer("html")(report, images)
    if "pdf" in formats:
        table = written["csv"] if "csv" in written else _renderer("csv")(report)
        evidence = [*gather(folder, report.custody.files), attach("report.csv", table, "data")]
        written["pdf"] = _renderer("pdf")(report, evidence, paper, images)
    return {name: written[name] for name in formats}


def _renderer(name: str) -> Callable[..., bytes]:
    """Return the renderer of a format, imported on first use."""
    render: Callable[..., bytes] = getattr(importlib.import_module(f"metav_audit.report.as_{name}"), f"render_{name}")
    return render


def _check_formats(names: Sequence[str]) -> None:
    for name in names:
        if name not in FORMATS:
            raise ConfigurationError(f"report format {name!r} is unknown: use one of {', '.join(FORMATS)}")
