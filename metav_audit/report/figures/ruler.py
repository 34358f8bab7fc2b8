"""ENFSI's verbal scale as a ruler, with the likelihood ratio's place on it and the bounds that it was kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metav_audit.report.figures.style import canvas, written
from metav_audit.statistics import DERIVED, INDEPENDENT, INK, ratio_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACH = 7.0
"""The ruler ends at this log10 LR."""
_BANDS = (
    (0, 1, "weak"),
    (1, 2, "moderate"),
    (2, 3, "moderately\nstrong"),
    (3, 4, "strong"),
    (4, 6, "very strong"),
    (6, _REACH, "extremely\nstrong"),
)
_TOP, _BOTTOM = 0.72, 0.42


def ruler(log10_lr: float, bounds: tuple[float, float]) -> bytes:
    """Draw the ruler as SVG.

    Args:
        log10_lr: where the mark stands.
        bounds: the lowest and highest log10 LR that the calibration can bear.
    """
    with canvas(6.7, 1.15) as figure:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(-_REACH - 0.05, _REACH + 0.05), ylim=(0, 1))
        axes.set_axis_off()
        for sign, colour in ((-1, INDEPENDENT), (1, DERIVED)):
            _draw_side(axes, sign, colour)
        axes.text(0, _BOTTOM - 0.04, "1", ha="center", va="top", fontsize=6.5)
        axes.text(-_REACH, 0.02, "← for independence", ha="left", va="bottom", fontsize=7.5, color=INDEPENDENT)
        axes.text(_REACH, 0.02, "for derivation →", ha="right", va="bottom", fontsize=7.5, color=DERIVED)
        _draw_bounds(axes, *bounds)
        _draw_mark(axes, log10_lr)
        return written(figure)


def _draw_side(axes: Axes, sign: int, colour: str) -> None:
    for number, (near, far, word) in enumerate(_BANDS):
        axes.fill_betweenx(
            [_BOTTOM, _TOP], sign * near, sign * far, color=colour, alpha=0.07 + 0.055 * number, linewidth=0
        )
        axes.text(
            sign * (near + far) / 2,
            (_TOP + _BOTTOM) / 2,
            word,
            ha="center",
            va="center",
            fontsize=6.2,
            linespacing=1.05,
        )
        if near:
            axes.plot([sign * near] * 2, [_BOTTOM, _TOP], color="white", linewidth=0.8)
            axes.text(sign * near, _BOTTOM - 0.04, ratio_text(sign * near), ha="center", va="top", fontsize=6.5)


def _draw_bounds(axes: Axes, low: float, high: float) -> None:
    low, high = (max(-_REACH, min(_REACH, round(bound, 4))) for bound in (low, high))
    axes.plot([low, low, high, high], [0.22, 0.16, 0.16, 0.22], color=INK, linewidth=0.9, solid_joinstyle="miter")
    axes.text((low + high) / 2, 0.11, "what this calibration can bear", ha="center", va="top", fontsize=6.5)


def _draw_mark(axes: Axes, log10_lr: float) -> None:
    at = max(-_REACH, min(_REACH, round(log10_lr, 4)))
    for edge, inside in ((_TOP, -0.06), (_BOTTOM, 0.06)):  # The word between them stays legible.
        axes.plot([at, at], [edge, edge + inside], color=INK, linewidth=1.6, solid_capstyle="butt")
    axes.scatter([at], [_TOP + 0.05], s=34, marker="v", color=INK, zorder=3)
    side = "left" if at < 1 - _REACH else "right" if at > _REACH - 1 else "center"
    axes.text(at, _TOP + 0.12, f"LR {ratio_text(log10_lr)}", ha=side, va="bottom", fontsize=9.5, weight="bold")
