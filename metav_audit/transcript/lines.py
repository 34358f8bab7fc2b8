"""Records as lines of a file: one canonical JSON object each, with the SHA-256 of the line before it.

>>> given_up = Unanswered(queries=(3,), reason="no answer", at="2026-03-04T10:00:00Z")
>>> line = record_line(given_up.to_json(), CHAIN_START)
>>> line[:59]
b'{"at":"2026-03-04T10:00:00Z","kind":"unanswered","previous"'
>>> parse_record(json.loads(line)).reason
'no answer'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from metav_audit.files import open_regular, strict_json
from metav_audit.transcript.records import Finished, Header, Received, Record, Resumed, Sent, Unanswered
from metav_audit.transcript.shared import Shared

CHAIN_START = "0" * 64
"""What the first line has in the place of a hash."""
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_KINDS: Mapping[str, type[Record]] = {
    each.kind: each for each in (Header, Sent, Received, Shared, Unanswered, Resumed, Finished)
}
_FIELDS = {
    kind: {*(each.name for each in fields(kind)), "kind", "previous", *(["schema_version"] if kind is Header else [])}
    for kind in _KINDS.values()
}


MAX_LINE_BYTES = 1 << 28


def parse_record(described: Mapping[str, Any]) -> Record:
    """Read one record.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, misstated or out of its bounds, or the kind is unknown.
    """
    kind = _KINDS.get(described["kind"])
    if kind is None:
        raise ValueError("its kind")
    unknown = described.keys() - _FIELDS[kind]
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]!r}, which such a record does not have")
    return kind.from_json(described)


def record_line(described: Mapping[str, Any], previous: str) -> bytes:
    """Write one record's fields, chained to ``previous``, as a line of canonical JSON with its newline."""
    chained = {**described, "previous": previous}
    return _ENCODER.encode(chained).encode() + b"\n"


def line_hash(line: bytes) -> str:
    """Return the SHA-256 of a line, newline included, in hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def line_hashes(records: Iterable[Record]) -> Iterator[str]:
    """Return the SHA-256 of each record's line in a transcript that begins with these."""
    previous = CHAIN_START
    for record in records:
        previous = line_hash(record_line(record.to_json(), previous))
        yield previous


def read_records(path: Path) -> Iterator[Record]:
    """Read a transcript's records one by one, the chain unchecked.

    Raises:
        KeyError, TypeError, ValueError: a line is no record.
    """
    with open_regular(path) as lines:
        while line := lines.readline(MAX_LINE_BYTES):
            yield parse_record(strict_json(line))
