"""The report's figures, as SVG: the same report gives the same bytes."""

from __future__ import annotations

import numpy as np

from metav_audit.report.figures.accounts import account_plot
from metav_audit.report.figures.agreement import agreement_plot
from metav_audit.report.figures.ruler import ruler
from metav_audit.report.figures.scores import strip_plot
from metav_audit.report.figures.style import in_print
from metav_audit.report.layout.annex import PAV, TIPPETT
from metav_audit.report.layout.answers import AGREEMENT, comparable, shown_pictures
from metav_audit.report.layout.cover import RULER
from metav_audit.report.layout.findings import ACCOUNTS, SCORES
from metav_audit.report.model import EvidenceReport
from metav_audit.statistics import pav_plot, tippett_plot


def draw(report: EvidenceReport) -> dict[str, bytes]:
    """Draw every figure that the report's pages name, by its name."""
    drawn = {}
    if report.verdict.score is not None:
        drawn[SCORES] = strip_plot(report.sides, report.verdict.score)
    if report.verdict.accounts:
        drawn[ACCOUNTS] = account_plot(report.verdict.accounts, report.verdict.false_match_rate)
    if comparable(report.queries):
        drawn[AGREEMENT] = agreement_plot(report.queries)
    if report.verdict.log10_lr is not None and report.verdict.log10_lr_bounds is not None:
        drawn[RULER] = ruler(report.verdict.log10_lr, report.verdict.log10_lr_bounds)
    if report.ratios is not None:
        sides = np.array(report.ratios.derived), np.array(report.ratios.independent)
        drawn[TIPPETT] = in_print(tippett_plot(*sides, "svg"))
        drawn[PAV] = in_print(pav_plot(*sides, "svg"))
    return drawn


def images_of(report: EvidenceReport) -> dict[str, bytes]:
    """Return every file that the report's pages name, figures and pictures, by its name."""
    return {**draw(report), **shown_pictures(report.queries)}


__all__ = ["draw", "images_of"]
