"""Shortcuts for the client's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metav_audit.audit import Endpoint
from metav_audit.task import TaskSpec
from tests.servers import FIELDS


def endpoint(url: str, task: TaskSpec, adapter: str = "open-inference-v2", **more: Any) -> Endpoint:
    return Endpoint.open("suspect", {"adapter": adapter, "url": url, **FIELDS[adapter], **more}, task)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]


class Pauses(list[float]):
    """A sleep that takes no time and remembers how long it should have taken."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
