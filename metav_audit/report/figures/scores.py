"""Where the endpoint's score falls among those of the calibration models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metav_audit.report.figures.style import canvas, written
from metav_audit.report.model import CalibrationSide
from metav_audit.statistics import DERIVED, INDEPENDENT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EDGE = round(math.log(1e9), 6)
"""Scores closer than 1e-9 to 0 or 1 are drawn at the figure's edge; the figures beside it are exact."""

_DOT = 0.44
"""Width of a dot in log-odds; dots closer than this stand above each other."""
_ROOM = 0.76
_COLUMN = 9
_TICKS = (
    (0.0, "≤ 10⁻⁹"),
    (1e-6, "10⁻⁶"),
    (1e-3, "0.001"),
    (0.05, "0.05"),
    (0.5, "0.5"),
    (0.95, "0.95"),
    (1 - 1e-3, "0.999"),
    (1 - 1e-6, "1 - 10⁻⁶"),
    (1.0, "≥ 1 - 10⁻⁹"),
)


def strip_plot(sides: Sequence[CalibrationSide], score: float) -> bytes:
    """Draw one row of dots a side and the suspect as a line across, on a log-odds axis, as SVG.

    A shaded range is where scores are rare on that side.
    """
    with canvas(6.7, 2.15) as figure:
        axes = figure.add_axes((0.135, 0.2, 0.845, 0.66))
        rows = zip(sides, (1.0, 0.0), strict=True)
        places = [at for side, height in rows for at in _draw_row(axes, side, height)]
        _draw_suspect(axes, score)
        _dress(axes, [*places, log_odds(score)])
        return written(figure)


def log_odds(score: float) -> float:
    """Return ln(p / (1 - p)) of a score in [0, 1], held within ±EDGE; scores that crowd at 0 or 1 come apart."""
    if score <= 0 or score >= 1:
        return math.copysign(EDGE, score - 0.5)
    # Rounded: what another machine's logarithm adds must not move a mark.
    return round(max(-EDGE, min(EDGE, math.log(score) - math.log1p(-score))), 6)


def place_dots(scores: Sequence[float]) -> list[tuple[float, float]]:
    """Return a place a score: its log-odds, and a height in ±_ROOM / 2 that keeps close dots apart.

    Where many crowd at the edge, they form columns outward.
    """
    bins: dict[int, list[float]] = {}
    for score in scores:
        at = log_odds(score)
        bins.setdefault(round(at / _DOT), []).append(at)
    return [dot for members in bins.values() for dot in _stack(members)]


def _stack(members: Sequence[float]) -> list[tuple[float, float]]:
    rows = _COLUMN if abs(members[0]) >= EDGE else max(_COLUMN, len(members))
    step = _ROOM / rows
    dots = []
    for rank, at in enumerate(members):
        column, row = divmod(rank, rows)
        tall = min(rows, len(members) - column * rows)
        dots.append((at + math.copysign(column * _DOT, at), (row - (tall - 1) / 2) * step))
    return dots


def _draw_row(axes: Axes, side: CalibrationSide, height: float) -> list[float]:
    colour, marker = (DERIVED, "^") if side.derived else (INDEPENDENT, "o")
    if side.boundary is not None:
        edge = -3 * EDGE if side.derived else 3 * EDGE
        axes.fill_betweenx(
            [height - 0.44, height + 0.44], log_odds(side.boundary), edge, color=colour, alpha=0.10, linewidth=0
        )
    dots = place_dots(side.scores)
    places, heights = [at for at, _ in dots], [height + offset for _, offset in dots]
    axes.scatter(places, heights, s=12, marker=marker, facecolor=colour, edgecolor="white", linewidth=0.4, zorder=3)
    return places


def _draw_suspect(axes: Axes, score: float) -> None:
    place = log_odds(score)
    axes.axvline(place, color=INK, linewidth=1.3, zorder=4)
    axes.text(place, 1.56, f"endpoint {score:.6g}", ha="center", va="bottom", fontsize=9.5)


def _dress(axes: Axes, places: Sequence[float]) -> None:
    ticks = [(log_odds(value), label) for value, label in _TICKS]
    left = min(*places, max((at for at, _ in ticks if at <= min(places)), default=0.0))
    right = max(*places, min((at for at, _ in ticks if at >= max(places)), default=0.0))
    margin = 0.03 * (right - left) + _DOT
    shown = [(at, label) for at, label in ticks if left <= at <= right]
    axes.set_xticks([at for at, _ in shown], [label for _, label in shown])
    axes.set_yticks([1.0, 0.0], ["independent", "derived"])
    axes.set_xlim(left - margin, right + margin)
    axes.set_ylim(-0.5, 1.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("score of the meta-verifier (log-odds scale)", labelpad=3)
