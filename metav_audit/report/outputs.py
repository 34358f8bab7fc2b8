"""Files in which other programs read a run: which format a name asks for, and writing them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from metav_audit.errors import ConfigurationError
from metav_audit.files import write_atomically
from metav_audit.report.run import Run

ENDINGS = {".sarif": "sarif", ".sarif.json": "sarif", ".junit.xml": "junit", ".xml": "junit", ".prom": "prometheus"}
"""The format that a file's name asks for by its ending."""


def check_outputs(paths: Sequence[Path]) -> None:
    """See that files can be written once a run is over, before it begins.

    Raises:
        ConfigurationError: a name has another ending than those of ``ENDINGS``, or no file can be written there.
    """
    for path in paths:
        _format_of(path)
        above = next(each for each in path.absolute().parents if each.exists())
        if path.is_dir() or not above.is_dir() or not os.access(above, os.W_OK):
            raise ConfigurationError(f"no file can be written at {path}: choose a folder you may write to")


def write_output(run: Run, path: Path) -> None:
    """Write a run in the format that the file's name asks for, whole or not at all.

    Raises:
        ConfigurationError: the name has another ending than those of ``ENDINGS``, or the folder cannot be written.
    """
    name = _format_of(path)
    render: Callable[[Run], bytes] = getattr(importlib.import_module(f"metav_audit.report.as_{name}"), f"render_{name}")
    write_atomically(path, render(run))


def _format_of(path: Path) -> str:
    """Return the format that a file's name asks for, whatever its case."""
    for ending, name in ENDINGS.items():
        if path.name.lower().endswith(ending):
            return name
    raise ConfigurationError(
        f"the name {path.name!r} does not say in what format to write it: let it end in {', '.join(ENDINGS)}"
    )
