"""A folder's reports beside those that its evidence gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metav_audit.errors import EvidenceError
from metav_audit.evidence import csv_difference, html_agreement, json_difference, pdf_agreement
from metav_audit.files import read_regular
from metav_audit.report import rebuild_reports
from metav_audit.verdict import MAX_FILE_BYTES, AuditFolder


class Reports:
    """A folder's reports beside those that the evidence gives, which are written once for all steps."""

    def __init__(self, folder: AuditFolder, rebuild: Callable[..., Mapping[str, bytes]] = rebuild_reports) -> None:
        self._folder, self._rebuild = folder, rebuild
        self._written: Mapping[str, bytes] | None = None

    def json(self, *evidence: Any) -> str:
        """Compare report.json, field by field."""
        return agreed(json_difference(*self._pair("report.json", evidence)))

    def csv(self, *evidence: Any) -> str:
        """Compare report.csv, cell by cell."""
        return agreed(csv_difference(*self._pair("report.csv", evidence)))

    def html(self, *evidence: Any) -> str:
        """Compare report.html, line by line."""
        return html_agreement(*self._pair("report.html", evidence))

    def pdf(self, *evidence: Any) -> str:
        """Compare report.pdf, byte for byte where the same programs made it, else its words, points and attachments."""
        from metav_audit.report.as_pdf import is_made_here

        recorded, written = self._pair("report.pdf", evidence)
        if not recorded.startswith(b"%PDF"):
            raise EvidenceError("it is no PDF file: write it again with 'metav-audit report'")
        if recorded == written:
            return f"all {len(recorded)} bytes agree"
        if is_made_here(recorded):
            raise EvidenceError("it is not what the same programs make of this evidence: it was altered")
        return pdf_agreement(recorded, written)

    def _pair(self, name: str, evidence: tuple[Any, ...]) -> tuple[bytes, bytes]:
        recorded = read_bounded(self._folder / name)
        if self._written is None:
            self._written = self._rebuild(self._folder, *evidence)
        return recorded, self._written.get(name, b"")


def agreed(difference: str | None) -> str:
    """Say that two values agree.

    Raises:
        EvidenceError: they do not; ``difference`` says where.
    """
    if difference:
        raise EvidenceError(difference)
    return "every field agrees"


def read_bounded(path: Path) -> bytes:
    """Read a file of the folder.

    Raises:
        EvidenceError: it cannot be read, or is larger than any of ours.
    """
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror}") from error
