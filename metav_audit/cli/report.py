"""``metav-audit report``: write an audit's report again, from its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
    from metav_audit.report import Paper


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["csv", "pdf", "html", "json"]),
              help="Write this one alone; default: all.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="Folder to write into; DIR.")
@click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True, help="The PDF's paper.")
@click.option("--in-toto", "statement", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the verdict as an in-toto test result, and no report.")  # fmt: skip
@click.option("--key", help="Signs FILE: the key's path, or env:NAME for its PEM.")
def command(
    folder: Path, form: str | None, output: Path | None, paper: Paper, statement: Path | None, key: str | None
) -> None:
    """Write the reports of the audit in DIR: report.json, .csv, .html, .pdf.

    DIR is one audit's folder, with bundle, transcript and verdict. The same
    evidence gives the same reports. Where DIR holds the folders of several
    audits, their summary is written: summary.csv, .html, .pdf. The paths of
    what was written are printed.

    The PDF carries the evidence as attachments, and so the fingerprint. In a
    folder that is sealed, reports that would be others than those that were
    signed are refused: write them elsewhere with -o.

    --in-toto writes one statement for supply-chain policies instead: PASSED is
    no match, FAILED a match, WARNED all that cannot be told. With --key it is
    signed, a DSSE envelope; without, it is nobody's word. An encrypted key's
    passphrase is read from METAV_AUDIT_KEY_PASSPHRASE.
    """
    from metav_audit.errors import ConfigurationError
    from metav_audit.verdict import AuditFolder
    from metav_audit.verdict.folder import INTEGRITY_PLAN

    if AuditFolder(folder).has(INTEGRITY_PLAN):
        raise ConfigurationError(
            f"{folder} is the folder of an integrity audit: its reports were written with it, and 'metav-audit verify' "
            "says whether they still are those of its evidence"
        )
    if statement is not None:
        if form is not None or output is not None:
            raise click.UsageError("--in-toto writes no report: leave out --format and -o.")
        _write_statement(folder, statement, key)
        return
    if key is not None:
        raise click.UsageError("--key signs what --in-toto writes: name that file, too.")
    from metav_audit.evidence import write_sums
    from metav_audit.report import FORMATS, write_reports
    from metav_audit.report.summary import SUMMARY_FORMATS, is_fleet, read_entries, write_summary

    if is_fleet(folder):
        written = write_summary(read_entries(folder), output or folder, (form,) if form else SUMMARY_FORMATS, paper)
    else:
        written = write_reports(folder, (form,) if form else FORMATS, paper, output)
        if output is None:
            write_sums(AuditFolder(folder), [path.name for path in written])
    for path in written:
        echo(path)


def _write_statement(folder: Path, path: Path, key: str | None) -> None:
    """Write the verdict as an in-toto test result; print its path."""
    from metav_audit.evidence import check_free, read_key, write_verdict_statement
    from metav_audit.files import write_atomically
    from metav_audit.verdict import AuditFolder

    check_free(path)
    signing = None if key is None else read_key(key, os.environ)
    write_atomically(path, write_verdict_statement(AuditFolder(folder), signing))
    echo(path)
