"""A whole audit below the command line: ask, decide, seal, report, list hashes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metav_audit.evidence import Sealer
    from metav_audit.report import EvidenceReport, Paper


def close(folder: Path, sealer: Sealer | None, paper: Paper) -> EvidenceReport:
    """Seal the audit, write its reports, and list the hashes of all its files; return the report."""
    from datetime import UTC, datetime

    from metav_audit.evidence import custody_of, seal_folder, write_sums
    from metav_audit.report import load_report, save_reports

    if sealer is not None:
        seal_folder(folder, sealer, datetime.now(UTC))
    report = load_report(folder, custody_of)
    save_reports(report, folder, paper=paper)
    write_sums(folder)
    return report
