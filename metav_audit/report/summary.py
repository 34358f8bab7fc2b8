"""Many audits in one table, the gravest first: summary.csv, summary.html and summary.pdf beside their folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from metav_audit.errors import ConfigurationError, MetavAuditError
from metav_audit.files import write_atomically
from metav_audit.report.entries import Entry
from metav_audit.report.formats import Paper
from metav_audit.report.writing import load_report
from metav_audit.verdict import TRANSCRIPT, AuditFolder, audits_in

SUMMARY_FORMATS = ("csv", "html", "pdf")
_GRAVITY = ("match", "", "inconclusive", "no_match")
"""Outcomes, the gravest first; an endpoint without a verdict may hide anything, and comes second."""


def is_fleet(folder: Path) -> bool:
    """Say whether a folder holds audits' folders, and is none itself."""
    return not AuditFolder(folder).has(TRANSCRIPT) and any(True for _ in audits_in(folder))


def read_entries(folder: Path) -> list[Entry]:
    """Read every audit in a folder of audits; the control is the one that the others name.

    Raises:
        ConfigurationError: there is no audit in it.
    """
    entries = [_read_entry(each) for each in audits_in(folder)]
    if not entries:
        raise ConfigurationError(f"{folder} holds no audits: give the folder of 'metav-audit audit -o'")
    controls = {each.report.custody.control.control for each in entries if each.report and each.report.custody.control}
    return [
        Entry(each.name, each.folder, each.report, each.error, is_control=each.folder in controls) for each in entries
    ]


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sort the control first, then the gravest outcome, the heaviest weight, the highest score.

    An endpoint that was asked with several bundles stands where its gravest one puts it, with the others below it.
    """
    by_gravity = sorted(entries, key=_place)
    turns = {entry.endpoint: turn for turn, entry in reversed([*enumerate(by_gravity)])}
    return sorted(by_gravity, key=lambda entry: turns[entry.endpoint])


def write_summary(
    entries: Sequence[Entry], folder: Path, formats: Sequence[str] = SUMMARY_FORMATS, paper: Paper = "a4"
) -> list[Path]:
    """Write the summary into ``folder``, each file whole or not at all; return their paths.

    Raises:
        ConfigurationError: a format is unknown, or the folder cannot be written.
    """
    for name in formats:
        if name not in SUMMARY_FORMATS:
            raise ConfigurationError(f"a summary has no format {name!r}: use one of {', '.join(SUMMARY_FORMATS)}")
    ordered, paths = in_order(entries), []
    for name in formats:
        path = folder / f"summary.{name}"
        write_atomically(path, _render(ordered, name, paper))
        paths.append(path)
    return paths


def _read_entry(folder: AuditFolder) -> Entry:
    """Read an audit's folder; what is wrong with it is a result, too."""
    try:
        report = load_report(folder)
    except MetavAuditError as error:
        return Entry.failed(folder.name, folder, error)
    return Entry(report.endpoint.name, folder.name, report, None)


def _render(entries: Sequence[Entry], name: str, paper: Paper) -> bytes:
    from metav_audit.report.as_csv import render_summary
    from metav_audit.report.layout.summary import lay_out_summary

    if name == "csv":
        return render_summary(entries)
    if name == "html":
        from metav_audit.report.as_html import as_page

        return as_page(lay_out_summary(entries), {})
    from metav_audit.report.as_pdf import typeset

    return typeset(lay_out_summary(entries), {}, paper=paper)


def _place(entry: Entry) -> tuple[bool, int, float, float, str]:
    verdict = None if entry.report is None else entry.report.verdict
    weight = -(verdict.log10_lr or 0.0) if verdict else 0.0
    score = -(verdict.score or 0.0) if verdict else 0.0
    return not entry.is_control, _GRAVITY.index(entry.outcome), weight, score, entry.name
