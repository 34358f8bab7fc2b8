"""An evaluation's figures: Tippett and PAV plots of the test models' likelihood ratios, robustness and uniqueness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metav_audit.evaluation.conditions import USUAL
from metav_audit.evaluation.scores import TestScores
from metav_audit.files import write_atomically
from metav_audit.statistics import Form, pav_plot, robustness_plot, tippett_plot

FORMS: tuple[Form, ...] = ("svg", "png")


def write_curves(results: Sequence[TestScores], folder: Path) -> list[Path]:
    """Write three plots a target and method into ``folder``, all shown and asked as usual; return their paths.

    Files are named after target, method and plot, such as ``digits-10-metav-tippett.svg``.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    paths = []
    for one in (each for each in results if each.condition == USUAL):
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{one.project}-{one.method}").lstrip(".")
        ratios, scores = one.log10_lrs(), (one.side(derived=True), one.side(derived=False))
        for name, draw, sides in (
            ("tippett", tippett_plot, ratios),
            ("pav", pav_plot, ratios),
            ("robustness", robustness_plot, scores),
        ):
            for form in FORMS:
                path = folder / f"{stem}-{name}.{form}"
                write_atomically(path, draw(*sides, form))
                paths.append(path)
    return paths
