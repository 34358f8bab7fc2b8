"""Figures for evaluations and reports: Tippett and PAV plots, robustness and uniqueness, as SVG or PNG.

The same values give the same bytes; colours are told apart by the colour-blind, and by line or mark.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metav_audit.statistics.cost import pool_adjacent_violators

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, INDEPENDENT, DERIVED = "#16202c", "#0072b2", "#c4560a"
QUIET = "#9aa3ad"
STYLE: Any = {
    # The same evidence must give the same bytes: no random ids, and no text set in whatever font the machine has.
    "svg.hashsalt": "metav-audit",
    "svg.fonttype": "none",
    "font.family": "DejaVu Serif",
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": INK,
    "ytick.color": INK,
}
_LEGEND: Any = {"frameon": False, "ncols": 2, "loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
_MARGIN = 0.25
"""Room beyond the outermost log10 LR."""

Form = Literal["svg", "png"]
Values = NDArray[np.float64]


@contextmanager
def in_style() -> Iterator[None]:
    """Have matplotlib draw in the reports' style while the block lasts, and say nothing of its caches and fonts.

    Where HOME cannot be written it takes a temporary folder, and would tell of it in two lines on stderr.
    """
    quiet = logging.getLogger("matplotlib")
    quiet.setLevel(max(quiet.level, logging.ERROR))
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def tippett_plot(derived: Values, independent: Values, form: Form) -> bytes:
    """Draw, for every log10 LR, the share of each side's models that reach it.

    Args:
        derived: log10 LRs of derived models, finite.
        independent: log10 LRs of independent models, finite.
        form: the file format.
    """
    with in_style():
        figure, axes = _canvas()
        low, high = _extent(derived, independent)
        for values, colour, line, name in (
            (derived, DERIVED, "-", "derived"),
            (independent, INDEPENDENT, "--", "independent"),
        ):
            places, shares = survival(values)
            steps = (np.concatenate([[low], places, [high]]), np.concatenate([[1.0], shares, [0.0]]))
            axes.step(*steps, where="pre", color=colour, linestyle=line, linewidth=1.6, label=name)
        axes.axvline(0.0, color=QUIET, linewidth=0.8)
        axes.set(xlim=(low, high), ylim=(-0.02, 1.02), xlabel="log10 LR", ylabel="share with at least this LR")
        axes.legend(**_LEGEND)
        return _written(figure, form)


def pav_plot(derived: Values, independent: Values, form: Form) -> bytes:
    """Draw each model's log10 LR against the one that fits these models best (pool adjacent violators).

    Well calibrated LRs lie near the diagonal. Where one side is alone, the best fit is infinite, and drawn on the edge.
    The arguments are those of ``tippett_plot``.
    """
    with in_style():
        figure, axes = _canvas()
        low, high = _extent(derived, independent)
        values, calibrated = pool_adjacent_violators(derived, independent)
        heights = np.clip(calibrated, low, high)
        axes.plot([low, high], [low, high], color=QUIET, linewidth=0.8)
        axes.step(values, heights, where="post", color=INK, linewidth=0.8)
        for side, colour, marker, name in (
            (derived, DERIVED, "^", "derived"),
            (independent, INDEPENDENT, "o", "independent"),
        ):
            at = heights[np.searchsorted(values, side)]
            axes.scatter(
                side, at, s=18, marker=marker, facecolor="none", edgecolor=colour, label=name, clip_on=False, zorder=3
            )
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="log10 LR", ylabel="log10 LR that fits best (PAV)")
        axes.legend(**_LEGEND)
        return _written(figure, form)


def robustness_plot(derived: Values, independent: Values, form: Form) -> bytes:
    """Draw robustness and uniqueness over the threshold; the area below both is the ARUC (MetaV, section 5).

    Args:
        derived: scores of derived models, in [0, 1].
        independent: scores of independent models, in [0, 1].
        form: the file format.
    """
    with in_style():
        figure, axes = _canvas()
        edges = np.unique(np.concatenate([derived, independent, [0.0, 1.0]]))
        middles = (edges[1:] + edges[:-1]) / 2
        robustness = (derived[None, :] >= middles[:, None]).mean(axis=1)
        uniqueness = (independent[None, :] < middles[:, None]).mean(axis=1)
        axes.stairs(np.minimum(robustness, uniqueness), edges, fill=True, color=QUIET, alpha=0.3)
        axes.stairs(robustness, edges, baseline=None, color=DERIVED, linewidth=1.6, label="robustness")
        axes.stairs(
            uniqueness, edges, baseline=None, color=INDEPENDENT, linestyle="--", linewidth=1.6, label="uniqueness"
        )
        axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="threshold of the score", ylabel="share of models")
        axes.legend(**_LEGEND)
        return _written(figure, form)


def survival(values: Values) -> tuple[Values, Values]:
    """Return the distinct values, rising, and the share of all values that are at least as high as each."""
    places, counts = np.unique(values, return_counts=True)
    return places, np.cumsum(counts[::-1])[::-1] / len(values)


def _canvas() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _extent(derived: Values, independent: Values) -> tuple[float, float]:
    both = np.concatenate([derived, independent, [0.0]])
    return float(both.min()) - _MARGIN, float(both.max()) + _MARGIN


def _written(figure: Figure, form: Form) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
    return buffer.getvalue()
