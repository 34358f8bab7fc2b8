"""One EvidenceReport value, written as JSON, CSV, HTML and PDF. Importing this loads no renderer."""

from __future__ import annotations

from metav_audit.report.entries import Entry
from metav_audit.report.formats import FORMATS, Paper
from metav_audit.report.model import EvidenceReport
from metav_audit.report.writing import (
    load_report,
    rebuild_reports,
    report_of,
    save_reports,
    write_reports,
)

__all__ = [
    "FORMATS",
    "Entry",
    "EvidenceReport",
    "Paper",
    "load_report",
    "rebuild_reports",
    "report_of",
    "save_reports",
    "write_reports",
]
