"""Query by query: how far the endpoint's answers lie from the protected model's, beside what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metav_audit.report.figures.style import canvas, written
from metav_audit.report.model import Query
from metav_audit.statistics import DERIVED, INDEPENDENT, INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NUMBERED = 60
"""With more queries than this, the axis no longer numbers each."""


def agreement_plot(queries: Sequence[Query]) -> bytes:
    """Draw a dot a query, and the medians of both sides of the calibration as lines across; as SVG."""
    ordered = sorted(queries, key=lambda query: (query.independent_divergence, query.number))
    with canvas(6.7, 2.6) as figure:
        axes = figure.add_axes((0.085, 0.19, 0.905, 0.7))
        _draw_usual(axes, ordered)
        _draw_endpoint(axes, ordered)
        _dress(axes, ordered)
        return written(figure)


def _draw_usual(axes: Axes, ordered: Sequence[Query]) -> None:
    places = range(len(ordered))
    sides: tuple[tuple[list[float], str, str, str, str], ...] = (
        ([query.independent_divergence for query in ordered], INDEPENDENT, "--", "o", "independent, median"),
        ([query.derived_divergence for query in ordered], DERIVED, "-", "^", "derived, median"),
    )
    for heights, colour, line, marker, label in sides:
        mark: dict[str, Any] = {"marker": marker, "markersize": 4} if len(ordered) == 1 else {}
        axes.plot(places, _rounded(heights), color=colour, linestyle=line, linewidth=1.5, label=label, **mark)


_ENDPOINTS = (
    (True, INK, "endpoint, same label"),
    (False, "white", "endpoint, other label"),
    (None, INK, "endpoint"),
)
"""Whether the labels agree, None where there are none; the dot's face; what the legend says."""


def _draw_endpoint(axes: Axes, ordered: Sequence[Query]) -> None:
    size = 18 if len(ordered) <= MAX_NUMBERED else 9 if len(ordered) <= 300 else 4
    for agrees, face, label in _ENDPOINTS:
        known = [
            (place, query.divergence)
            for place, query in enumerate(ordered)
            if query.agrees is agrees and query.divergence is not None
        ]
        if known:
            at, heights = zip(*known, strict=True)
            axes.scatter(
                at, _rounded(heights), s=size, facecolor=face, edgecolor=INK, linewidth=0.7, label=label, zorder=3
            )
    unknown = [place for place, query in enumerate(ordered) if query.divergence is None]
    if unknown:
        axes.scatter(
            unknown, [0.0] * len(unknown), s=size, marker="x", color=QUIET, linewidth=0.8, label="no answer", zorder=3
        )


def _dress(axes: Axes, ordered: Sequence[Query]) -> None:
    margin = 0.6 + 0.01 * len(ordered)
    top = 1.04 * max(0.25, *(_highest(query) for query in ordered))
    axes.set(xlim=(-margin, len(ordered) - 1 + margin), ylim=(-0.04 * top, top))
    axes.set_ylabel("distance from the target", labelpad=4)
    if len(ordered) <= MAX_NUMBERED:
        axes.set_xticks(range(len(ordered)), [str(query.number) for query in ordered])
        axes.tick_params(axis="x", labelsize=8.5 if len(ordered) <= 24 else 5.5, length=2)
        axes.set_xlabel("query", labelpad=3)
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(ordered)} queries, in the order in which independent models come apart", labelpad=5)
    axes.spines[["top", "right"]].set_visible(False)
    legend: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.99), "ncols": 5, "columnspacing": 1.1}
    axes.legend(frameon=False, handletextpad=0.4, handlelength=1.6, fontsize=7.5, **legend)


def _highest(query: Query) -> float:
    return max(query.independent_divergence, query.derived_divergence, query.divergence or 0.0)


def _rounded(heights: Sequence[float]) -> list[float]:
    """Cut what no eye sees: another machine's rounding must not move a line."""
    return [round(height, 6) for height in heights]
