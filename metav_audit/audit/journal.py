"""The journal: ``transcript.jsonl`` and ``bodies.pack`` while they grow; what a record announces counts only then."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets as chance
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from metav_audit.audit.endpoint.secrets import VARIABLE, Secrets
from metav_audit.errors import ConfigurationError
from metav_audit.files import open_regular, write_atomically
from metav_audit.transcript import (
    BODIES,
    CHAIN_START,
    BodyWriter,
    Campaign,
    EndpointRecord,
    Header,
    Place,
    Record,
    Transcript,
    record_line,
    replay_file,
)
from metav_audit.verdict import LOCK, TRANSCRIPT

SYNC_WITHIN_S = 0.2
"""Seconds after which a record is brought to disk."""

MOST_UNSYNCED = 512
"""So many records may be on their way to the disk; who writes another one waits."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a transcript is about: it cannot go on about anything else.

    Attributes:
        bundle_sha256: the bundle whose inputs are sent.
        endpoint: who is asked.
        software: the program and version that asks.
        queries: what is to be asked, place by place.
        operator: who asks and by what authority, in the operator's own words; ``key_id`` is the key that will seal it.
        commitment_sha256: of the bundle's commitment; None without one.
        campaign: among how many audits it is begun, if that was counted; one that goes on keeps what its header says.
        looks: queries asked before each look, where it may stop early; none where it asks all.
    """

    bundle_sha256: str
    endpoint: EndpointRecord
    software: str
    queries: int
    operator: Mapping[str, str]
    commitment_sha256: str | None = None
    campaign: Campaign | None = None
    looks: tuple[int, ...] = ()


def stamp(moment: datetime) -> str:
    """Write a moment as a record does: ISO 8601, UTC, in milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def draw_nonce() -> str:
    """Return 32 hexadecimal digits that nobody can foresee: the order in which an audit asks follows from them."""
    return chance.token_hex(16)


class Journal:
    """An append-only, chained, locked transcript; use it as a context manager.

    A record is handed to the operating system before what it announces counts, so nothing is lost when this process is
    killed. The disk is asked to keep it within ``SYNC_WITHIN_S``, for all records of that time at once and in a thread
    of its own, so that answers go on coming in; a power cut costs no more than that, and the torn line at the end.

    Args:
        folder: the audit's folder; it is made if need be.
        subject: what is audited, without any secret.
        now: the time, ISO 8601, UTC.
        secrets: what no record may show.
        draw: gives the nonce of a new audit; see ``draw_nonce``.

    Raises:
        ConfigurationError: the folder cannot be written, is in use, or holds the audit of something else.
        TranscriptError: the transcript in it is damaged before its last record.
    """

    def __init__(
        self,
        folder: Path,
        subject: Subject,
        now: Callable[[], str],
        secrets: Secrets,
        draw: Callable[[], str] = draw_nonce,
    ) -> None:
        self._path = folder / TRANSCRIPT
        self._now = now
        self._secrets = secrets
        self._draw = draw
        self._unsynced = 0
        self._syncing: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._broken: OSError | None = None
        self._lock = _locked(folder)
        try:
            if not self._path.exists() or _is_void(self._path, subject):
                self._begin(subject)
            self._replay, torn = replay_file(self._path)
            _check_subject(self._path, self.transcript, subject)
            self._bodies = _opened_bodies(folder / BODIES, self._replay.bodies_end)
            self._file = _opened(self._path, torn)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(*([ConfigurationError] if error else [])):
                if self._broken is None:
                    self._sync()
        finally:
            with contextlib.suppress(OSError):  # A full disk again: what it did not take was reported above.
                self._file.close()
                self._bodies.close()
            self._lock.close()

    @property
    def transcript(self) -> Transcript:
        """What stands in the journal so far."""
        return self._replay.transcript()

    @property
    def begun(self) -> bool:
        """Whether anything stands in it but its header."""
        return self._replay.records > 1

    def now(self) -> str:
        """Return the time that a record made now holds, ISO 8601, UTC; it never runs backwards."""
        return self._replay.grammar.no_earlier(self._now())

    def keep(self, content: bytes, sha256: str | None = None) -> Place:
        """Keep a body before the record that names it; return its place. Errors are those of ``append``."""
        with self._named_errors():
            return self._bodies.keep(content, sha256)

    def append(self, record: Record) -> None:
        """Write one record, redacted, and bring it to disk before returning.

        Raises:
            ConfigurationError: the disk does not take it.
        """
        self._write(record)
        self._sync()

    async def record(self, record: Record) -> None:
        """Write one record; it is on disk a moment later. Errors are those of ``append``, if need be a moment later."""
        self._write(record)
        self._unsynced += 1
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync_soon())
        if self._unsynced >= MOST_UNSYNCED:
            self._enough.set()
            await asyncio.shield(self._syncing)

    def _write(self, record: Record) -> None:
        with self._named_errors():
            self._file.write(self._taken(record))
            self._file.flush()

    def _taken(self, record: Record) -> bytes:
        """Take a record; return its line without secrets, and without characters that UTF-8 cannot write.

        Nearly every record is clean: its line as a whole tells, much faster than each of its texts.
        """
        described = record.to_json()
        with contextlib.suppress(UnicodeEncodeError):
            line = record_line(described, self._replay.head)
            if not self._secrets.stand_in(line):
                return self._replay.add(record, line)
        line = record_line(self._secrets.redact_all(described), self._replay.head)
        # What was taken out may have been anywhere: it is read as any file's line is.
        self._replay.read(line)
        return line

    async def _sync_soon(self) -> None:
        """Sync once, a moment later or when enough has gathered; an error is raised by whatever is written next."""
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), SYNC_WITHIN_S)
            self._enough.clear()
            self._unsynced = 0
            with contextlib.suppress(ConfigurationError, ValueError):  # ValueError: closed meanwhile, and so synced.
                await asyncio.to_thread(self._sync)
        finally:
            self._syncing = None

    def _sync(self) -> None:
        with self._named_errors():
            self._bodies.sync()
            os.fsync(self._file.fileno())

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """After the first failure nothing more is written, and everything fails."""
        try:
            if self._broken is not None:
                raise self._broken
            yield
        except OSError as error:
            self._broken = error
            raise ConfigurationError(
                f"cannot write {self._path}: {error.strerror}; mend that and run again, it resumes by itself"
            ) from error

    def _begin(self, subject: Subject) -> None:
        header = Header(
            at=self._now(), nonce=self._draw(), **{each.name: getattr(subject, each.name) for each in fields(subject)}
        )
        write_atomically(self._path, record_line(self._secrets.redact_all(header.to_json()), CHAIN_START))
        handle = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_resumable(folder: Path, subject: Subject) -> None:
    """Raise what ``Journal`` would raise over the transcript in ``folder``, without touching it."""
    path = folder / TRANSCRIPT
    if path.exists() and not _is_void(path, subject):
        _check_subject(path, replay_file(path)[0].transcript(), subject)


def _locked(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666), "wb")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the folder {folder}: {error.strerror}; choose one you may write to"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            busy = f"another audit is at work in {folder}: wait for it, or choose another folder"
            raise ConfigurationError(busy) from error
        why = f"the file system of {folder} gives no lock ({error.strerror}): choose a folder on a local disk"
        raise ConfigurationError(why) from error
    return lock


def _opened_bodies(path: Path, end: int) -> BodyWriter:
    try:
        return BodyWriter(path, end)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from error


def _opened(path: Path, torn: int) -> IO[bytes]:
    """Open the transcript for appending, and cut off so many bytes of a torn line."""
    try:
        file = open_regular(path, write=True)
        size = file.seek(-torn, os.SEEK_END)
        file.truncate(size)
        os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from error
    return file


def _is_void(path: Path, subject: Subject) -> bool:
    """Say whether a transcript is of another endpoint and holds no answer, so that a mended file begins anew."""
    transcript = replay_file(path)[0].transcript()
    unheard = all(each.answer is None for each in transcript.exchanges)
    return unheard and _is_of_bundle(transcript, subject) and not _is_of_endpoint(transcript, subject)


def _is_of_bundle(transcript: Transcript, subject: Subject) -> bool:
    return (transcript.bundle_sha256, len(transcript.exchanges)) == (subject.bundle_sha256, subject.queries)


def _is_of_endpoint(transcript: Transcript, subject: Subject) -> bool:
    return _lasting(transcript.endpoint.to_json()) == _lasting(subject.endpoint.to_json())


def _check_subject(path: Path, transcript: Transcript, subject: Subject) -> None:
    if not _is_of_bundle(transcript, subject):
        raise ConfigurationError(f"{path} belongs to another bundle: choose another folder with -o")
    if not _is_of_endpoint(transcript, subject):
        raise ConfigurationError(f"{path} belongs to another endpoint or other options: choose another folder with -o")
    if transcript.looks != subject.looks:
        begun = f"{path} was begun {'with' if transcript.looks else 'without'} --stop-early"
        raise ConfigurationError(f"{begun}: go on so, or choose another folder with -o")


def _lasting(endpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what may change while an audit goes on: its limits, and which variable or source has a credential."""
    options = dict(endpoint["options"])
    options.pop("limits", None)
    options.pop("credentials", None)
    options.pop("way", None)
    headers = options.pop("headers", {})
    options["headers"] = {name: value for name, value in headers.items() if not VARIABLE.search(value)}
    return {**endpoint, "options": options}
