"""``metav-audit report``: write an audit's report again, from its folder."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["csv", "pdf", "json"]), help="Write this one alone; default: all.")
def command(folder: Path, form: str | None) -> None:
    """Write the reports of the audit in DIR: report.json, report.csv, report.pdf.

    DIR is one audit's folder, with bundle, transcript and verdict. The same
    evidence gives the same reports. Their paths are printed.
    """
    from metav_audit.evidence import custody_of, write_sums
    from metav_audit.report import FORMATS, write_reports

    written = write_reports(folder, custody_of, (form,) if form else FORMATS)
    write_sums(folder, [path.name for path in written])
    for path in written:
        click.echo(path)
