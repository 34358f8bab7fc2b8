"""The ways to write an input: every encoding, range, layout and order that ``InputOptions`` knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metav_audit.adapter import TabularDomain, TaskSpec
from metav_audit_adapters._inputs import Colours, Encoding, Layout


@dataclass(frozen=True, slots=True)
class Way:
    """One way to write an input.

    Attributes:
        options: of ``InputOptions``.
        depth: how deep a list it is; 0 for a text, -1 for an object.
        whole: whether all numbers are whole.
        prefix: what stands before it in a text.
    """

    options: Mapping[str, Any]
    depth: int
    whole: bool = False
    prefix: str = ""

    @property
    def form(self) -> str:
        """What it looks like, whatever its numbers."""
        return f"{self.options['encoding']} {self.prefix}"


def ways_of(task: TaskSpec) -> list[Way]:
    """Return the ways to write one of a task's inputs, the usual first."""
    if isinstance(task.domain, TabularDomain):
        return [
            Way({"encoding": Encoding.ROWS.value}, -1),
            Way({"encoding": Encoding.CELLS.value}, 1),
            Way({"encoding": Encoding.FLAT.value}, 1),
        ]
    if len(task.domain.shape) != 3:
        return [Way({"encoding": Encoding.FLAT.value}, 1)]
    texts = [
        Way({"encoding": Encoding.PNG_BASE64.value}, 0, prefix=prefix) for prefix in ("", "data:image/png;base64,")
    ]
    return [*texts, *_numbers(task)]


def _numbers(task: TaskSpec) -> Iterator[Way]:
    """Yield the ways to write an image in numbers: 0..1 or as the task has it, 0..255, -1..1; in each layout."""
    grey = task.domain.shape[0] == 1
    depths = {Layout.CHW: 3, Layout.HWC: 3} | ({Layout.HW: 2} if grey else {})
    for colours in ({},) if grey else ({}, {"colours": Colours.BGR.value}):
        for numbers in ranges(*task.domain.bounds):
            for layout, depth in depths.items():
                written = {"layout": layout.value, **numbers, **colours}
                yield Way({"encoding": Encoding.NESTED.value, **written}, depth, "whole" in numbers)
            for layout in (Layout.CHW,) if grey else (Layout.CHW, Layout.HWC):
                yield Way(
                    {"encoding": Encoding.FLAT.value, "layout": layout.value, **numbers, **colours},
                    1,
                    "whole" in numbers,
                )


def ranges(low: float, high: float) -> Iterator[dict[str, Any]]:
    """Yield how numbers of a range are brought into the usual ones; nothing is said where it is one of them."""
    for least, most, whole in ((low, high, False), (0.0, 255.0, True), (0.0, 1.0, False), (-1.0, 1.0, False)):
        scale = (most - least) / (high - low)
        offset = least - low * scale
        if (least, most) == (low, high) and whole:
            yield {"whole": True}
        elif (least, most) == (low, high) or scale != 1 or offset:
            written = {} if scale == 1 else {"scale": scale}
            yield written | ({"offset": offset} if offset else {}) | ({"whole": True} if whole else {})
