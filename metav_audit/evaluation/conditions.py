"""What test models show, and how many queries they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metav_audit.errors import ConfigurationError
from metav_audit.evaluation.wire import check_wire
from metav_audit.task import FULL_VIEW, OutputView, TaskSpec

VIEWS: dict[str, OutputView] = {
    "full": FULL_VIEW,
    "top5": OutputView(top=5),
    "top3": OutputView(top=3),
    "top1": OutputView(top=1),
    "3-decimals": OutputView(decimals=3),
    "2-decimals": OutputView(decimals=2),
    "noisy": OutputView(noise=0.01),
    "label": OutputView(label_only=True),
}
"""What an API may show of an output, by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What test models show, and how many queries they are asked.

    Attributes:
        view: a name in ``VIEWS``; test and calibration models are seen through it.
        queries: the fingerprint's size; the project's own if None.
        wire: a name in ``wire.WIRES`` or ``wire.NOISES``, what becomes of a test model's inputs or answers; nothing if
            None. The calibration knows nothing of it.
    """

    view: str = "full"
    queries: int | None = None
    wire: str | None = None


def conditions_of(views: Sequence[str], budgets: Sequence[int], wires: Sequence[str] = ()) -> list[Condition]:
    """Return every view, the full one first, at the project's number of queries and at each other, then every wire."""
    sizes = (None, *dict.fromkeys(budgets))
    seen = [Condition(view, size) for size in sizes for view in dict.fromkeys(("full", *views))]
    return seen + [Condition(wire=wire) for wire in dict.fromkeys(wires)]


def check_conditions(conditions: Sequence[Condition], task: TaskSpec) -> None:
    """Raise ConfigurationError if a view is of classes, and the output has none, or a wire of pictures."""
    kind = task.output.kind
    for wire in filter(None, (one.wire for one in conditions)):
        check_wire(wire, task.domain)
    of_classes = [one.view for one in conditions if VIEWS[one.view].label_only or VIEWS[one.view].top is not None]
    if of_classes and not task.output.labelled:
        raise ConfigurationError(f"the view {of_classes[0]!r} is one of classes, and a {kind} has none: use decimals")


USUAL = Condition()
"""Everything is shown, and the project's own number of queries asked."""
