"""The journal: ``transcript.jsonl`` while it grows. Every record is on disk before what it announces counts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from metav_audit.audit.secrets import VARIABLE
from metav_audit.errors import ConfigurationError, TranscriptError
from metav_audit.files import write_atomically
from metav_audit.transcript import (
    CHAIN_START,
    MAX_TRANSCRIPT_BYTES,
    SCHEMA_VERSION,
    EndpointRecord,
    Transcript,
    build_transcript,
    line_hash,
    read_records,
    record_line,
)

TRANSCRIPT = "transcript.jsonl"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a transcript is about: it cannot go on about anything else.

    Attributes:
        bundle_sha256: the bundle whose inputs are sent.
        endpoint: who is asked.
        software: the program and version that asks.
        queries: queries in the fingerprint.
    """

    bundle_sha256: str
    endpoint: EndpointRecord
    software: str
    queries: int


class Journal:
    """An append-only, chained, locked transcript; use it as a context manager.

    Args:
        folder: the audit's folder; it is made if need be.
        subject: what is audited, without any secret.
        now: the time, ISO 8601, UTC.
        redact: takes the secrets out of JSON types; every record passes through it.

    Raises:
        ConfigurationError: the folder cannot be written, is in use, or holds the audit of something else.
        TranscriptError: the transcript in it is damaged before its last record.
    """

    def __init__(self, folder: Path, subject: Subject, now: Callable[[], str], redact: Callable[[Any], Any]) -> None:
        self._path = folder / TRANSCRIPT
        self._now = now
        self._redact = redact
        self._lock = _locked(folder)
        try:
            if not self._path.exists():
                self._begin(subject)
            self._records, self._head, size = _read_whole(self._path)
            _check_subject(self._path, self.transcript, subject)
            self._file = _opened(self._path, size)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.close()

    @property
    def transcript(self) -> Transcript:
        """What stands in the journal so far."""
        return build_transcript(self._records, self._head)

    @property
    def begun(self) -> bool:
        """Whether anything stands in it but its header."""
        return len(self._records) > 1

    def append(self, kind: str, **fields: Any) -> None:
        """Write one record, redacted and stamped, and flush it to disk before returning.

        Raises:
            ConfigurationError: the disk does not take it.
        """
        record = self._redact({"kind": kind, "at": self._now(), **fields})
        line = record_line(record, self._head)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {self._path}: {error.strerror}; mend that and run again, it resumes by itself"
            ) from error
        self._records.append({**record, "previous": self._head})
        self._head = line_hash(line)

    def _begin(self, subject: Subject) -> None:
        header = {
            "kind": "header",
            "schema_version": SCHEMA_VERSION,
            "at": self._now(),
            "bundle_sha256": subject.bundle_sha256,
            "endpoint": subject.endpoint.to_json(),
            "software": subject.software,
            "queries": subject.queries,
        }
        write_atomically(self._path, record_line(self._redact(header), CHAIN_START))
        handle = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_resumable(folder: Path, subject: Subject) -> None:
    """Raise what ``Journal`` would raise over the transcript in ``folder``, without touching it."""
    path = folder / TRANSCRIPT
    if path.exists():
        records, head, _ = _read_whole(path)
        _check_subject(path, build_transcript(records, head), subject)


def _locked(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("ab")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the folder {folder}: {error.strerror}; choose one you may write to"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigurationError(
            f"another audit is at work in {folder}: wait for it, or choose another folder"
        ) from error
    return lock


def _read_whole(path: Path) -> tuple[list[dict[str, Any]], str, int]:
    """Read the whole lines; return the records, the chain's head and the lines' size. A torn last line is left out."""
    try:
        if path.stat().st_size > MAX_TRANSCRIPT_BYTES:
            raise TranscriptError(f"{path} is larger than {MAX_TRANSCRIPT_BYTES} bytes: this is no transcript of ours")
        content = path.read_bytes()
    except OSError as error:
        raise TranscriptError(f"cannot read the transcript {path}: {error.strerror}") from error
    whole = content[: content.rfind(b"\n") + 1]
    records, head = read_records(whole.splitlines(keepends=True))
    return records, head, len(whole)


def _opened(path: Path, size: int) -> IO[bytes]:
    """Open the transcript for appending, and cut off what follows its last whole line."""
    try:
        file = path.open("r+b")
        file.truncate(size)
        file.seek(size)
        os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from error
    return file


def _check_subject(path: Path, transcript: Transcript, subject: Subject) -> None:
    if transcript.bundle_sha256 != subject.bundle_sha256 or len(transcript.exchanges) != subject.queries:
        raise ConfigurationError(f"{path} belongs to another bundle: choose another folder with -o")
    if _lasting(transcript.endpoint.to_json()) != _lasting(subject.endpoint.to_json()):
        raise ConfigurationError(f"{path} belongs to another endpoint or other options: choose another folder with -o")


def _lasting(endpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what may change while an audit goes on: its limits, and which variable holds a credential."""
    options = dict(endpoint["options"])
    options.pop("limits", None)
    headers = options.pop("headers", {})
    options["headers"] = {name: value for name, value in headers.items() if not VARIABLE.search(value)}
    return {**endpoint, "options": options}
