"""What became of one endpoint, as a summary tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from metav_audit.errors import MetavAuditError
from metav_audit.report.model import EvidenceReport
from metav_audit.statistics import holm
from metav_audit.verdict import AuditFolder


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one endpoint.

    Attributes:
        name: the endpoint's.
        folder: of its audit, beside the summary.
        report: the audit's report; None where there is no verdict.
        error: why there is none; None if there is one.
        is_control: whether it is the run's positive control.
    """

    name: str
    folder: str
    report: EvidenceReport | None
    error: str | None
    is_control: bool = False

    @classmethod
    def failed(cls, name: str, folder: AuditFolder, error: MetavAuditError, *, is_control: bool = False) -> Self:
        """Say that there is no verdict, and why; where the folders lie on this machine is nobody's business."""
        return cls(name, folder.name, None, str(error).replace(str(folder.path), folder.name), is_control)

    @property
    def bundle(self) -> str:
        """The bundle that it was asked with, where several were: the end of its folder's name; else ""."""
        return self.folder.partition("@")[2]

    @property
    def endpoint(self) -> str:
        """The endpoint's name, which a folder that cannot be read bears, too."""
        return self.name.partition("@")[0]

    @property
    def outcome(self) -> str:
        """The verdict's outcome, or "" without a verdict."""
        return "" if self.report is None else self.report.verdict.outcome.value

    @property
    def stands(self) -> bool | None:
        """Whether the run's positive control passed; None without one."""
        control = None if self.report is None else self.report.custody.control
        return None if control is None else control.passed


def corrected(entries: Sequence[Entry]) -> dict[str, float]:
    """Return the p-values of matches, corrected for all that was asked (Holm), by their audits' folders.

    Each endpoint counts once for each bundle that it was asked with.

    The control is no endpoint that was asked in earnest. One without a p-value counts as asked, with a p-value of 1.
    """
    suspects = [entry for entry in entries if not entry.is_control]
    given = [None if entry.report is None else entry.report.verdict.p_value_match for entry in suspects]
    told = holm([1.0 if each is None else each for each in given])
    return {entry.folder: value for entry, each, value in zip(suspects, given, told, strict=True) if each is not None}
