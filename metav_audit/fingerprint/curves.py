"""An evaluation's figures: Tippett and PAV plots of the test models' likelihood ratios."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metav_audit.files import write_atomically
from metav_audit.fingerprint.evaluate import TestScores
from metav_audit.plots import Form, pav_plot, tippett_plot

FORMS: tuple[Form, ...] = ("svg", "png")


def write_curves(results: Sequence[TestScores], folder: Path) -> list[Path]:
    """Write a Tippett and a PAV plot a target and method into ``folder``; return their paths.

    Files are named after both, such as ``digits-10-metav-tippett.svg``.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    paths = []
    for one in results:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{one.project}-{one.method}").lstrip(".")
        for name, draw in (("tippett", tippett_plot), ("pav", pav_plot)):
            for form in FORMS:
                path = folder / f"{stem}-{name}.{form}"
                write_atomically(path, draw(*one.log10_lrs(), form))
                paths.append(path)
    return paths
