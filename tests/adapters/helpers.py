"""Shortcuts for the adapters' tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metav_audit.adapter import Adapter, Outcome, Response, find_adapter
from metav_audit.errors import ConfigurationError
from metav_audit.task import TaskSpec
from tests.adapters.protocols import TASK


def opened(name: str, task: TaskSpec = TASK, **fields: Any) -> Adapter:
    return find_adapter(name).open(task, {"url": "http://host:1/x", **fields})


def scores(adapter: Adapter, body: Any, count: int = 1, **headers: str) -> list[tuple[float | None, ...]]:
    """What an adapter reads from a JSON body."""
    return [answer.scores for answer in adapter.decode(Response(200, headers, json.dumps(body).encode()), count)]


def outcome(adapter: Adapter, status: int, body: Any = None, **headers: str) -> Outcome:
    """What an adapter makes of a refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return adapter.classify(Response(status, named, json.dumps(body).encode() if body is not None else b""))


def refuses(name: str, said: str, task: TaskSpec = TASK, **fields: Any) -> None:
    """Check that options are refused by a message that names the adapter and says ``said``."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        opened(name, task, **fields)
    assert name in str(caught.value)
