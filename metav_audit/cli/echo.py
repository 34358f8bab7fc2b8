"""The one way to the terminal: whatever a stranger wrote is shown, and does nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from metav_audit.progress import printable


def echo(line: object, *, err: bool = False, nl: bool = True) -> None:
    """Print one line; its control and format characters, line breaks among them, are shown as escapes."""
    click.echo(printable(line), err=err, nl=nl)


def echo_table(text: str, *, err: bool = False) -> None:
    """Print several lines, each as ``echo`` does, in the breaks that this program put between them."""
    for line in text.removesuffix("\n").split("\n"):
        echo(line, err=err)


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print JSON in ASCII: a stranger's characters are escapes within its strings."""
    click.echo(ascii_json(value, indent))


def ascii_json(value: Any, indent: int | None = None) -> str:
    """Write JSON that a terminal shows as it is."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def complain(what: object) -> None:
    """Write what went wrong to stderr, over any progress."""
    clear()
    echo(f"metav-audit: {what}", err=True)


def clear() -> None:
    """Take progress off the terminal's line."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
