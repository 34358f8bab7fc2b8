"""What the built-in adapters share: the layout of an input, and walking into foreign JSON without trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from metav_audit.adapter import Adapter
from metav_audit.domains.base import Inputs
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import TaskSpec

_MAX_DEPTH = 8


class Layout(StrEnum):
    """Where an image's channels stand on the wire."""

    CHW = "chw"
    HWC = "hwc"


def check_layout(layout: Layout, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the layout needs an image and the task's inputs are none."""
    if layout is Layout.HWC and len(task.domain.shape) != 3:
        raise ConfigurationError(f"adapter {adapter.name}: layout: 'hwc' is for images, this task's inputs are none")


def arrange(inputs: Inputs, layout: Layout) -> Inputs:
    """Return inputs of shape (batch, channels, height, width) in the wire's layout; others stay as they are."""
    return inputs.transpose(0, 2, 3, 1) if layout is Layout.HWC else inputs


def flatten(data: Any) -> list[Any]:
    """Return the elements of a list that may be flat or nested, in row-major order.

    Raises:
        AnswerError: it is no list, ragged in depth, or nested deeper than any tensor.
    """
    for _ in range(_MAX_DEPTH):
        if not isinstance(data, list):
            raise AnswerError(f"an output's data is not a list but {type(data).__name__}")
        nested = [isinstance(part, list) for part in data]
        if not any(nested):
            return data
        if not all(nested):
            raise AnswerError("an output's data is ragged: numbers stand beside lists")
        data = [element for part in data for element in part]
    raise AnswerError(f"an output's data is nested more than {_MAX_DEPTH} deep")


def member(body: Any, key: str) -> Any:
    """Return ``body[key]`` of a JSON object.

    Raises:
        AnswerError: it is no object or lacks the key; the message lists what is there.
    """
    if not isinstance(body, Mapping):
        raise AnswerError(f"the response is not an object with {key!r} but {type(body).__name__}")
    if key not in body:
        raise AnswerError(f"the response has no {key!r}, only {names(body)}")
    return body[key]


def names(found: Mapping[str, Any]) -> str:
    """List a foreign object's keys, shortened, for a message."""
    return ", ".join(repr(key[:40]) for key in list(found)[:8]) or "nothing"
