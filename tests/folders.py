"""An audit's folder as the client leaves it, without a network: real adapter, real journal, canned responses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metav_audit.audit import Endpoint
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.journal import Journal, Subject
from metav_audit.bundle import FingerprintBundle, Schedule, asked_inputs, planned_places
from metav_audit.task import Answer
from metav_audit.transcript import (
    CHAIN_START,
    EndpointRecord,
    Finished,
    Received,
    Sent,
    Unanswered,
    load_transcript,
    record_line,
)
from metav_audit.transcript.lines import line_hash
from metav_audit.verdict import decide, read
from tests.builders import NONCE, make_bundle

Model = Callable[[np.ndarray], np.ndarray]
FIELDS = {
    "adapter": "json-template",
    "url": "http://127.0.0.1:8080/predict",
    "body": {"inputs": "{{inputs}}"},
    "answer": "rows",
}
BUSY = b'{"error": "the server is overloaded"}'


def make_folder(
    path: Path,
    model: Model,
    bundle: FingerprintBundle | None = None,
    unanswered: Collection[int] = (),
    reason: str = "the endpoint failed with status 503 four times",
    endpoint: Mapping[str, Any] | None = None,
    hidden: int = 0,
) -> Path:
    """Let ``model`` answer what an audit asks, all but the queries ``unanswered``, and write what it leaves.

    The first ``hidden`` classes are not shown; ``endpoint`` overwrites what the header says of the endpoint.
    """
    bundle = bundle or make_bundle()
    bundle.save(path / "bundle")
    asked = Endpoint.open("suspect", FIELDS, bundle.task)
    record = {**asked.record().to_json(), **(endpoint or {})}
    subject = Subject(
        bundle.sha256,
        EndpointRecord.from_json(record),
        "metav-audit 0.1.0",
        planned_places(bundle),
        {"name": "A. Auditor"},
    )
    clock = iter(["2026-03-04T10:00:00+00:00"])
    schedule, inputs = Schedule.for_bundle(bundle, NONCE), asked_inputs(bundle)
    with Journal(
        path, subject, lambda: next(clock, "2026-03-04T10:01:00+00:00"), Secrets({}), lambda: NONCE
    ) as journal:
        writer = _Writer(journal, asked, model, hidden)
        for place, number in enumerate(schedule.numbers):
            lost = number in unanswered
            writer.exchange(inputs[[number]], {"queries": (place,)}, lost=lost)
            if lost:
                journal.append(Unanswered(at=journal.now(), queries=(place,), reason=reason))
        clock = iter(["2026-03-04T10:07:00+00:00"])
        journal.append(Finished(at=journal.now()))
    verdict = decide(bundle, read(bundle, load_transcript(path / "transcript.jsonl")))
    (path / "verdict.json").write_text(json.dumps(verdict.to_json(), indent=1))
    return path


class _Writer:
    """Writes the records of one request and its response after another."""

    def __init__(self, journal: Journal, asked: Endpoint, model: Model, hidden: int) -> None:
        self._journal, self._asked, self._model, self._hidden = journal, asked, model, hidden
        self._serial = 0

    def exchange(self, inputs: np.ndarray, about: dict[str, Any], *, lost: bool) -> None:
        self._serial += 1
        request = self._asked.adapter.encode(inputs)
        self._journal.append(
            Sent(
                at=self._journal.now(),
                request=self._serial,
                **about,
                step=0,
                attempt=1,
                method=request.method,
                url=request.url,
                request_sha256=hashlib.sha256(request.content).hexdigest(),
                body=self._journal.keep(request.content),
            )
        )
        rows = [[None] * self._hidden + scores[self._hidden :] for scores in self._model(inputs).tolist()]
        content = BUSY if lost else json.dumps({"rows": rows}).encode()
        answers = tuple(Answer(tuple(row)) for row in rows)
        fields: dict[str, Any] = {"outcome": "ok", "status": 200, "answers": answers, "identity": {"server": "uvicorn"}}
        if lost:
            fields = {"outcome": "transient", "status": 503, "error": "the server is overloaded", "identity": {}}
        self._journal.append(
            Received(
                at=self._journal.now(),
                request=self._serial,
                elapsed_s=0.25,
                response_sha256=hashlib.sha256(content).hexdigest(),
                headers=self._journal.keep(b"{}"),
                body=self._journal.keep(content),
                **fields,
            )
        )


def rechain(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change a transcript's records and chain them anew, as a careful forger would."""
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    change(records)
    path.write_bytes(b"".join(_lines(records)))


def _lines(records: list[dict[str, Any]]) -> list[bytes]:
    lines, head = [], CHAIN_START
    for record in records:
        lines.append(record_line(record, head))
        head = line_hash(lines[-1])
    return lines
