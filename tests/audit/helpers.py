"""Shortcuts for the client's tests."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from metav_audit.audit import Endpoint
from metav_audit.task import TaskSpec
from tests.servers import FIELDS


def endpoint(url: str, task: TaskSpec, adapter: str = "open-inference-v2", **more: Any) -> Endpoint:
    return Endpoint.open("suspect", {"adapter": adapter, "url": url, **FIELDS[adapter], **more}, task)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]


def needed(queries: int, batch: int = 1) -> int:
    """Requests of an undisturbed audit: the batches, and eight rounds of two canaries, one a request."""
    return -(-queries // batch) + 8 * 2


def asked_queries(folder: Path) -> list[int]:
    """The fingerprint's queries in the order of the requests for them, retries included."""
    return [query for record in records(folder) if record["kind"] == "sent" for query in record["queries"]]


def canary_rounds(folder: Path) -> list[int]:
    """The round of every canary asked, in the order of the requests for them."""
    sent = [record for record in records(folder) if record["kind"] == "sent" and "canaries" in record]
    return [record["round"] for record in sent for _ in record["canaries"]]


class Pauses(list[float]):
    """A sleep that takes no time and remembers how long it should have taken; ``clock`` counts it as passed."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return time.monotonic() + sum(self)
