"""Accounts of the owner's API by their p-values."""

from __future__ import annotations

from metav_audit.report.figures.style import canvas, written
from metav_audit.report.requests import in_order
from metav_audit.report.text import shorten
from metav_audit.statistics import DERIVED, INDEPENDENT, INK
from metav_audit.verdict import AccountFinding

MOST = 20
"""Accounts that are shown."""


def account_plot(accounts: tuple[AccountFinding, ...], rate: float) -> bytes:
    """Draw a row an account as SVG, its p-value on a logarithmic axis, the promised rate as a line."""
    shown = in_order(accounts)[:MOST]
    with canvas(6.7, 0.75 + 0.2 * len(shown)) as figure:
        axes = figure.add_axes((0.24, 0.45 / (0.75 + 0.2 * len(shown)), 0.74, 1 - 0.55 / (0.75 + 0.2 * len(shown))))
        places = range(len(shown))
        colours = [DERIVED if one.p_value <= rate else INDEPENDENT for one in shown]
        axes.hlines(places, [one.p_value for one in shown], 1.0, colors=colours, linewidth=1.2)
        axes.scatter([one.p_value for one in shown], places, s=22, c=colours, zorder=3)
        axes.axvline(rate, color=INK, linewidth=0.8, linestyle="--")
        axes.set(
            xscale="log", xlim=(min(0.01, *(one.p_value / 1.5 for one in shown)), 1.05), ylim=(len(shown) - 0.5, -0.5)
        )
        axes.set_yticks(places, [shorten(one.name, 24) for one in shown])
        ticks = [tick for tick in (0.001, 0.01, 0.05, 0.1, 0.5, 1.0) if tick >= axes.get_xlim()[0]]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("p, with all accounts considered")
        return written(figure)
