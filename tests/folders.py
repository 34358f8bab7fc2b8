"""An audit's folder as the client leaves it, without a network: real adapter, real journal, canned responses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metav_audit.audit import Endpoint, put_controls
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.journal import Journal, Subject
from metav_audit.bundle import FingerprintBundle, Schedule, asked_inputs, planned_places
from metav_audit.evidence import Sealer, SigningKey, close_folder, make_commitment, seal_folder, write_sums
from metav_audit.files import write_atomically
from metav_audit.report import write_reports
from metav_audit.task import Answer, ScoreKind
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
from metav_audit.verdict import AuditFolder, ControlModel, ControlRecord, Controls, decide, read
from tests.builders import NONCE, linear_model, make_bundle

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


OWNER, AUDITOR = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in (11, 12))
COMMITTED, SEALED_AT = (datetime(2026, 3, 4, hour, 8, tzinfo=UTC) for hour in (9, 10))


def make_sealed_folder(path: Path, *, control: Model | None = None, sealed: bool = True) -> Path:
    """Write a whole audit of a copy of the target: committed to, with controls of both kinds, reported, and sealed.

    The positive control is ``control``, the target itself if None. Unsealed, nobody signs it, nor commits.
    """
    bundle = make_bundle()
    task = bundle.task
    head = {"name": "A. Auditor", **({"key_id": AUDITOR.public.key_id} if sealed else {})}
    commitment = make_commitment(bundle, OWNER, claimed_at=COMMITTED).to_bytes() if sealed else None
    rows = [linear_model(task, 5000 + seed, distance=3.0)(bundle.inputs) for seed in range(20)]
    named = enumerate(map(answers_of, rows))
    models = tuple(ControlModel(f"independent {at}", ScoreKind.PROBABILITY, each, "5" * 64) for at, each in named)
    folders = []
    for name, model in (("own", control or linear_model(task, 0)), ("suspect", linear_model(task, 7, distance=0.03))):
        make_folder(path / name, model, bundle, endpoint={"name": name}, unanswered=(3,) if name == "suspect" else ())
        folder = AuditFolder(path / name)
        if commitment is not None:
            write_atomically(folder / "bundle/commitment.json", commitment)
            digest = hashlib.sha256(commitment).hexdigest()
            rechain(folder / "transcript.jsonl", lambda records: records[0].update(commitment_sha256=digest))  # noqa: B023
        rechain(folder / "transcript.jsonl", lambda records: records[0].update(operator=head))
        put_controls(Controls(bundle.sha256, models), folder)
        folder.record(folder.bundle(), folder.transcript())
        folders.append(folder)
    own, suspect = folders
    verdict = own.verdict()
    record = ControlRecord(
        "own", verdict.outcome == "match", verdict.outcome.value, None, bundle.sha256, verdict.transcript_sha256
    )
    suspect.put_positive_control(record, own)
    close(suspect, sealed=sealed)
    return suspect.path


def close(folder: AuditFolder, *, sealed: bool) -> None:
    """Seal, report, list, close, as an audit ends."""
    if sealed:
        seal_folder(folder, Sealer(AUDITOR, None), SEALED_AT)
    write_reports(folder)
    write_sums(folder)
    if sealed:
        close_folder(folder, AUDITOR, SEALED_AT)


def answers_of(rows: np.ndarray) -> tuple[Answer, ...]:
    return tuple(Answer(tuple(row)) for row in rows.tolist())


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
