"""Tables of figures as text, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of figures.

    Attributes:
        label: the target, "mean" or a stratum.
        method: the method.
        derived: number of derived models.
        independent: number of independent models.
        figures: by column name; NaN where there is none.
        head: what the labels of the table are.
    """

    COUNTED: ClassVar = "+/-"
    label: str
    method: str
    derived: int
    independent: int
    figures: dict[str, float]
    head: str = "target"

    @property
    def counts(self) -> str:
        """Return the cell below ``COUNTED``."""
        return f"{self.derived}/{self.independent}"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One line of the table of errors, which counts lineages.

    Attributes:
        label: a side or a stratum.
        method: the method.
        wrong: lineages with a wrong verdict on any of their models.
        lineages: number of lineages.
        figures: by column name.
        head: what the labels of the table are.
    """

    COUNTED: ClassVar = "wrong"
    label: str
    method: str
    wrong: int
    lineages: int
    figures: dict[str, float]
    head: str = "stratum"

    @property
    def counts(self) -> str:
        """Return the cell below ``COUNTED``."""
        return f"{self.wrong}/{self.lineages}"


Rows = Sequence[Row] | Sequence[ErrorRow]


def as_text(rows: Rows) -> str:
    """Write rows as aligned columns that fit a terminal of 80."""
    lines = _lines(rows, _brief)
    return "".join("  ".join(line).rstrip() + "\n" for line in _aligned(lines))


def as_markdown(rows: Rows) -> str:
    """Write rows as a Markdown table."""
    header, *lines = _aligned(_lines(rows, lambda value: f"{value:.3f}"))
    rule = ["-" * len(cell) for cell in header]
    return "".join("| " + " | ".join(line) + " |\n" for line in [header, rule, *lines])


def as_csv(rows: Rows) -> str:
    """Write rows as CSV, with all digits."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_lines(rows, repr))
    return text.getvalue()


def _brief(value: float) -> str:
    """Write three digits: .123, 1.23."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}".replace("0.", ".", 1)


def _lines(rows: Rows, number: Callable[[float], str]) -> list[list[str]]:
    names = list(rows[0].figures)
    lines = [[rows[0].head, "method", rows[0].COUNTED, *names]]
    for row in rows:
        figures = ["" if np.isnan(row.figures[name]) else number(row.figures[name]) for name in names]
        lines.append([row.label, row.method, row.counts, *figures])
    return lines


def _aligned(lines: list[list[str]]) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
