"""The report's figures, as SVG: the same report gives the same bytes."""

from __future__ import annotations

from metav_audit.report.figures.agreement import agreement_plot
from metav_audit.report.figures.scores import strip_plot
from metav_audit.report.layout.answers import AGREEMENT, comparable
from metav_audit.report.layout.findings import SCORES
from metav_audit.report.model import EvidenceReport


def draw(report: EvidenceReport) -> dict[str, bytes]:
    """Draw every figure that the report's pages name, by its name."""
    drawn = {}
    if report.verdict.score is not None:
        drawn[SCORES] = strip_plot(report.sides, report.verdict.score)
    if comparable(report.queries):
        drawn[AGREEMENT] = agreement_plot(report.queries)
    return drawn


__all__ = ["draw"]
