"""Output spaces: what comes out of every model of a task, and its canonical features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metav_audit.errors import ConfigurationError
from metav_audit.outputs.base import OutputKind, OutputSpace, ScoreKind
from metav_audit.outputs.scores import LOG_FLOOR, ClassScores, clipped_log_probabilities
from metav_audit.outputs.values import GeneratedTensor, Quantities, Quantity

SPACES: dict[str, type[OutputSpace]] = {one.kind.value: one for one in (ClassScores, Quantities, GeneratedTensor)}


def output_from_json(fields: Mapping[str, Any]) -> OutputSpace:
    """Build the output space that ``OutputSpace.to_json`` described.

    Raises:
        ConfigurationError: the kind is unknown or a field is missing or out of range.
    """
    values = dict(fields)
    kind = values.pop("kind", None)
    if kind not in SPACES:
        raise ConfigurationError(f"task kind {kind!r} is unknown: use one of {', '.join(SPACES)}")
    try:
        return SPACES[kind].from_json(values)
    except KeyError as error:
        raise ConfigurationError(f"the output of a {kind} is not described rightly: it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the output of a {kind} is not described rightly: {error}") from error


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
