"""An audit's folder as the client writes it, without a client: bundle, transcript and verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metav_audit.behaviour import canary_inputs
from metav_audit.bundle import FingerprintBundle
from metav_audit.transcript import CHAIN_START, line_hash, load_transcript, record_line
from metav_audit.verdict import decide
from tests.builders import make_bundle

Model = Callable[[np.ndarray], np.ndarray]


def make_folder(
    path: Path,
    model: Model,
    bundle: FingerprintBundle | None = None,
    unanswered: Collection[int] = (),
    reason: str = "the endpoint failed with status 503 four times",
    endpoint: Mapping[str, Any] | None = None,
    hidden: int = 0,
    rounds: int = 4,
) -> Path:
    """Let ``model`` answer the bundle's queries, all but ``unanswered``, and write what an audit leaves.

    The first ``hidden`` classes are not shown; the canaries are asked ``rounds`` times.
    """
    bundle = bundle or make_bundle()
    bundle.save(path / "bundle")
    answers = [[None] * hidden + scores[hidden:] for scores in model(bundle.inputs).tolist()]
    records = _records(bundle, answers, unanswered, reason, endpoint or {})
    for number in range(rounds):
        repeated = [[None] * hidden + scores[hidden:] for scores in model(canary_inputs(bundle)).tolist()]
        records[-1:-1] = _canaries(number, len(answers), repeated)
    lines = _lines(records)
    (path / "transcript.jsonl").write_bytes(b"".join(lines))
    verdict = decide(bundle, load_transcript(path / "transcript.jsonl"))
    (path / "verdict.json").write_text(json.dumps(verdict.to_json(), indent=1))
    return path


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


def _records(bundle, answers, unanswered, reason, endpoint) -> list[dict[str, Any]]:
    fields = {
        "name": "suspect",
        "adapter": "json-template",
        "url": "http://127.0.0.1:8080/predict",
        "scores": "probability",
        "options": {"batch": 1},
    }
    records = [
        {
            "kind": "header",
            "schema_version": 1,
            "bundle_sha256": bundle.sha256,
            "endpoint": {**fields, **endpoint},
            "software": "metav-audit 0.1.0",
            "at": "2026-03-04T10:00:00+00:00",
            "queries": len(bundle.inputs),
        }
    ]
    for query, answer in enumerate(answers):
        records += _exchange(query, None if query in unanswered else answer, reason)
    return [*records, {"kind": "finished", "at": "2026-03-04T10:07:00+00:00"}]


def _canaries(number: int, queries: int, answers: list[list[float | None]]) -> list[dict[str, Any]]:
    sent, received = _exchange(queries + number, answers[0], "")
    sent |= {"queries": [], "canaries": list(range(len(answers))), "round": number}
    return [sent, {**received, "answers": answers}]


def _exchange(query: int, scores: list[float | None] | None, reason: str) -> list[dict[str, Any]]:
    digest = hashlib.sha256(str(query).encode()).hexdigest()
    sent = {
        "kind": "sent",
        "request": query,
        "queries": [query],
        "attempt": 1,
        "at": "2026-03-04T10:01:00+00:00",
        "request_sha256": digest,
    }
    back = {"kind": "received", "request": query, "elapsed_s": 0.25, "response_sha256": digest}
    if scores is None:
        failed = {**back, "outcome": "transient", "status": 503, "error": "the server is overloaded"}
        return [sent, failed, {"kind": "unanswered", "queries": [query], "reason": reason}]
    return [sent, {**back, "outcome": "ok", "status": 200, "answers": [scores], "identity": {"server": "uvicorn"}}]
