"""How figures look: colours told apart by the colour-blind, the same bytes for the same figures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metav_audit.statistics import in_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure of that size in inches, while the block lasts in the reports' style."""
    with in_style():
        from matplotlib.figure import Figure

        yield Figure(figsize=(width, height))


def written(figure: Figure) -> bytes:
    """Return a figure as SVG; its text is set in "Libertinus Serif"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return in_print(buffer.getvalue())


def in_print(svg: bytes) -> bytes:
    """Have an SVG file's text set in the reports' own type."""
    # The typesetter brings Libertinus, matplotlib does not: it measures with its own serif and the name is set here.
    return svg.replace(b"DejaVu Serif", b"Libertinus Serif")
