"""``metav-audit pack``: an audit's folder as one file."""

from __future__ import annotations

from pathlib import Path

import click

from metav_audit.cli.echo import echo
from metav_audit.errors import ConfigurationError


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The archive; DIR.zip by default.")
def command(folder: Path, output: Path | None) -> None:
    """Pack the audit in DIR into one zip archive; print its path.

    The same folder gives the same bytes. 'metav-audit verify' takes the archive
    as it takes the folder.
    """
    from metav_audit.evidence import pack_folder
    from metav_audit.verdict import SUMS

    if not (folder / SUMS).exists():
        raise ConfigurationError(f"{folder} is no finished audit's folder: it lacks {SUMS}; give one audit's folder")
    path = output or folder.with_name(f"{folder.resolve().name}.zip")
    for other in pack_folder(folder, path):
        echo(f"left out, for it is no file of an audit: {other}", err=True)
    echo(path)
