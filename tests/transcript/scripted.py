"""One audit without a network and without a real clock, with every kind of record; every byte of it is settled here.

``make fixtures`` keeps it in ``fixtures/transcripts/whole``, as it was written before records had types.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.bundle import FingerprintBundle
from metav_audit.transcript import BODIES, Transcript
from metav_audit.verdict import LOCK, TRANSCRIPT

FIXTURES = Path(__file__).parents[2] / "fixtures"
FROZEN = FIXTURES / "transcripts" / "whole"
NONCE = "11" * 16
TOKEN = "scripted-token-0123456789"
_ROWS = ((0.7, 0.2, 0.1), (0.1, 0.7, 0.2), (0.2, 0.1, 0.7), (0.4, 0.4, 0.2))
_FIELDS = {
    "adapter": "json-template",
    "url": "https://suspect.example/predict",
    "body": {"inputs": "{{inputs}}"},
    "answer": "rows",
    "headers": {"Authorization": "Bearer ${SCRIPTED_TOKEN}"},
    "limits": {"concurrency": 1, "attempts": 2},
}


class Killed(BaseException):
    """The auditing process ends here."""


class _Server:
    """Answers by the request's number, one input never, and moves the clock by a quarter of a second each time."""

    def __init__(self, never: Any) -> None:
        self.never, self.asked = never, 0

    def seconds(self) -> float:
        return self.asked / 4

    def now(self) -> datetime:
        return datetime(2026, 3, 4, 10, tzinfo=UTC) + timedelta(seconds=self.seconds())

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        inputs = json.loads(request.content)["inputs"]
        fault = _page if inputs == [self.never] else _FAULTS.get(self.asked)
        return self._rows(inputs) if fault is None else fault(request)

    def _rows(self, inputs: list[Any]) -> httpx.Response:
        rows = [_ROWS[round(sum(pixel for line in one[0] for pixel in line) * 255) % 4] for one in inputs]
        headers = {
            "server": "scripted",
            "date": "Wed, 04 Mar 2026 10:00:07 GMT",
            "x-model-version": f"{self.asked > 12}",
        }
        return httpx.Response(200, headers=headers, json={"rows": rows})


def _busy(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503, headers={"date": "no date"}, content=b'{"error": "busy \\ud800 \\u2028"}')


def _silent(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("nothing came")


def _page(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b"<html>")


def _echoing(request: httpx.Request) -> httpx.Response:
    # A lone surrogate: UTF-8 cannot write the name, so the record is written again without it.
    shown = {"rows": [list(_ROWS[1])], "seen": request.headers["authorization"], "model": "m \ud800"}
    return httpx.Response(200, headers={"x-model-name": f"for {TOKEN}"}, content=json.dumps(shown).encode())


def _kill(_: httpx.Request) -> httpx.Response:
    raise Killed


_FAULTS: dict[int, Callable[[httpx.Request], httpx.Response]] = {5: _busy, 6: _echoing, 9: _kill, 13: _silent}


def scripted_audit(folder: Path) -> Transcript:
    """Audit the whole bundle of the fixtures; the audit is killed once and run again."""
    bundle = FingerprintBundle.load(FIXTURES / "bundles" / "whole")
    server = _Server(bundle.inputs[2].tolist())
    endpoint = replace(Endpoint.open("scripted", _FIELDS, bundle.task), operator={"name": "A. Auditor"})

    async def sleep(_: float) -> None:
        return None

    def audit() -> Transcript:
        transport = httpx.MockTransport(server.answer)
        with mock.patch.dict(os.environ, SCRIPTED_TOKEN=TOKEN):
            return audit_endpoint(
                bundle,
                endpoint,
                folder,
                transport=transport,
                clock=server.seconds,
                now=server.now,
                sleep=sleep,
                draw=lambda: NONCE,
            )

    with contextlib.suppress(Killed):
        audit()
    return audit()


if __name__ == "__main__":
    for name in (TRANSCRIPT, BODIES):
        (FROZEN / name).unlink(missing_ok=True)
    scripted_audit(FROZEN)
    (FROZEN / LOCK).unlink()
    print(f"a transcript in {FROZEN}")
