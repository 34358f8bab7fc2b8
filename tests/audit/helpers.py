"""Shortcuts for the client's tests."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from metav_audit.audit import Endpoint
from metav_audit.bundle import CLOSING, LEAST_REQUESTS
from metav_audit.task import TaskSpec
from tests.servers import FIELDS


def endpoint(url: str, task: TaskSpec, adapter: str = "open-inference-v2", **more: Any) -> Endpoint:
    return Endpoint.open("suspect", {"adapter": adapter, "url": url, **FIELDS[adapter], **more}, task)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]


def needed(queries: int, batch: int = 1) -> int:
    """Requests of an undisturbed audit without natural inputs: twelve at least, and the two at the end."""
    size = max(1, min(batch, (places(queries) - CLOSING) // LEAST_REQUESTS))
    return -(-(places(queries) - CLOSING) // size) + CLOSING


def places(queries: int) -> int:
    """What an audit without natural inputs asks: each query, and four of them four times more."""
    return queries + 16


def asked_queries(folder: Path) -> list[int]:
    """Places of the schedule in the order of the requests for them, retries included."""
    return [query for record in records(folder) if record["kind"] == "sent" for query in record["queries"]]


class Pauses(list[float]):
    """A sleep that takes no time and remembers how long it should have taken; ``clock`` counts it as passed."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return time.monotonic() + sum(self)
