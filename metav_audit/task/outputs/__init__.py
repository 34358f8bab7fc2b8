"""Output spaces: what comes out of every model of a task, and its canonical features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metav_audit.task.kinds import from_kind
from metav_audit.task.outputs.base import OutputKind, OutputSpace, ScoreKind
from metav_audit.task.outputs.scores import LOG_FLOOR, ClassScores, clipped_log_probabilities
from metav_audit.task.outputs.values import GeneratedTensor, Quantities, Quantity

SPACES: dict[str, type[OutputSpace]] = {one.kind.value: one for one in (ClassScores, Quantities, GeneratedTensor)}


def output_from_json(fields: Mapping[str, Any]) -> OutputSpace:
    """Build the output space that ``OutputSpace.to_json`` described.

    Raises:
        ConfigurationError: the kind is unknown or a field is missing or out of range.
    """
    return from_kind(SPACES, fields, "output")


__all__ = [
    "LOG_FLOOR",
    "SPACES",
    "ClassScores",
    "GeneratedTensor",
    "OutputKind",
    "OutputSpace",
    "Quantities",
    "Quantity",
    "ScoreKind",
    "clipped_log_probabilities",
    "output_from_json",
]
