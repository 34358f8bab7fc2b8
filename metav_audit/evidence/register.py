"""The register of a key's commitments: each states its number and the hash of the one before, so that none is left out.

A time stamp says when a commitment was made, and not how many others were. Whoever commits to two bundles and shows the
one that accuses has to number it: where it is not the first, those before it are missing; where two bear one number,
the signer committed twice and kept two registers. What was made after the one that is shown does not show until it
turns up: ask for it, in writing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.files import strict_json

FIRST = "0" * 64
MAX_REGISTER_BYTES = 16 << 20
ENDING = ".commitments"


@dataclass(frozen=True, slots=True)
class Place:
    """A commitment's place among those of its key.

    Attributes:
        number: from 1.
        previous: SHA-256 of the signed envelope before it, in hexadecimal; 64 zeros for the first.
    """

    number: int
    previous: str

    @classmethod
    def stated(cls, predicate: Any) -> Place | None:
        """Read the place that a commitment states; None where it states none.

        Raises:
            EvidenceError: it is misstated.
        """
        told = predicate.get("register")
        if told is None:
            return None
        try:
            place = cls(**told)
            whole = type(place.number) is int and place.number > 0
            hashed = len(bytes.fromhex(place.previous)) == 32 and (place.number == 1) is (place.previous == FIRST)
        except (TypeError, ValueError):
            whole = hashed = False
        if not (whole and hashed):
            raise EvidenceError("its place in the key's register is misstated")
        return place

    def __str__(self) -> str:
        """Say which it is, and what to ask for."""
        if self.number == 1:
            return "it is the first that the key states to have made"
        before = "one" if self.number == 2 else f"{self.number - 1}"
        return f"it is the key's commitment number {self.number}: ask for the {before} before it"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a register: a commitment that was made.

    Attributes:
        number: its place.
        sha256: of its signed envelope.
        bundle_sha256: what it commits to.
        claimed_at: when, in the signer's word.
    """

    number: int
    sha256: str
    bundle_sha256: str
    claimed_at: str


class Register:
    """A key's register, open for one more entry."""

    def __init__(self, file: BinaryIO, entries: Sequence[Entry]) -> None:
        self._file, self._entries = file, entries

    @property
    def place(self) -> Place:
        """The place of the next commitment."""
        last = self._entries[-1] if self._entries else None
        return Place(1, FIRST) if last is None else Place(last.number + 1, last.sha256)

    def enter(self, sha256: str, bundle_sha256: str, claimed_at: str) -> None:
        """Write the next commitment's line, and bring it to disk: before the commitment itself is given to anyone."""
        entry = Entry(self.place.number, sha256, bundle_sha256, claimed_at)
        self._file.write(json.dumps(asdict(entry), sort_keys=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def opened_register(path: Path) -> Iterator[Register]:
    """Open a key's register, or begin one; nobody else writes to it while the block lasts.

    Raises:
        ConfigurationError: it cannot be written, is no register, or another commitment is being made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            content = file.read(MAX_REGISTER_BYTES + 1)
            yield Register(file, _entries(content, path))
    except BlockingIOError as error:
        raise ConfigurationError(f"another commitment is being entered into {path}: wait for it") from error
    except OSError as error:
        raise ConfigurationError(f"cannot write the register {path}: {error.strerror}") from error


def _entries(content: bytes, path: Path) -> list[Entry]:
    try:
        if len(content) > MAX_REGISTER_BYTES or (content and not content.endswith(b"\n")):
            raise ValueError("its size, or its last line")
        entries = [Entry(**strict_json(line)) for line in content.splitlines()]
        if [entry.number for entry in entries] != list(range(1, len(entries) + 1)):
            raise ValueError("its numbers")
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} is no register of commitments, or is damaged: {error}") from error
    return entries


def check_register(places: Sequence[tuple[Place | None, str]]) -> str:
    """Hold the commitments that somebody has of one key against each other; return what was seen.

    Args:
        places: of each, what it states and the SHA-256 of its signed envelope.

    Raises:
        EvidenceError: one is not numbered, two bear one number, one is missing, or one names another before it.
    """
    held: dict[int, tuple[Place, str]] = {}
    for place, sha256 in places:
        if place is None:
            raise EvidenceError(f"the commitment {sha256} is not numbered: how many others there are, nothing shows")
        if held.get(place.number, (place, sha256))[1] != sha256:
            raise EvidenceError(f"the key made two commitments of the number {place.number}: it keeps two registers")
        held[place.number] = place, sha256
    missing = sorted(set(range(1, max(held, default=0) + 1)) - held.keys())
    if missing:
        raise EvidenceError(f"the key's commitment number {missing[0]} is not here: ask its signer for it")
    for number in range(2, len(held) + 1):
        if held[number][0].previous != held[number - 1][1]:
            raise EvidenceError(f"the key's commitment number {number} names another as the one before it")
    return f"all {len(held)} that the key states to have made by then are here, numbered and chained"
