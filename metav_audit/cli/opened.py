"""What commands that train have in common."""

from __future__ import annotations

import click

from metav_audit.cli.echo import echo

trust_option = click.option(
    "--trust", is_flag=True, help="The target's file is my own and may run code, as a pickle does; see docs/formats.md."
)


def tell(line: str) -> None:
    """Tell on stderr what was seen of model and data before anything is trained."""
    echo(line, err=True)
