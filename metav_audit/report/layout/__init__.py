"""What a report's pages say, in which order: an EvidenceReport becomes a Document."""

from __future__ import annotations

from metav_audit.report.document import Document
from metav_audit.report.layout.annex import lay_out_annex
from metav_audit.report.layout.answers import lay_out_answers
from metav_audit.report.layout.cover import lay_out_cover
from metav_audit.report.layout.findings import lay_out_findings
from metav_audit.report.model import EvidenceReport
from metav_audit.report.text import shorten


def lay_out(report: EvidenceReport) -> Document:
    """Return all pages; figures and pictures stand in them by the names that ``figures.draw`` gives."""
    return Document(
        title=f"Audit report: {shorten(report.endpoint.name, 120)}",
        header=shorten(report.endpoint.name, 40),
        stamp=f"bundle {report.verdict.bundle_sha256[:12]}",
        footer="metav-audit · evidence report",
        date=report.finished or report.started,
        cover=lay_out_cover(report),
        sections=(*lay_out_findings(report), *lay_out_answers(report), *lay_out_annex(report)),
    )


__all__ = ["lay_out"]
