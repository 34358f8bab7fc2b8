"""SHA-256 of every file of an audit's folder, and of those that are its evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence.custody import EvidenceFile
from metav_audit.files import files_below, open_regular, read_regular, write_atomically
from metav_audit.verdict import CLOSING, EVIDENCE, LOCK, SUMS, AuditFolder

_UNLISTED = {SUMS, LOCK, CLOSING}
MAX_SUMS_BYTES = 1 << 20
_CHUNK = 1 << 20


def evidence_files(folder: AuditFolder) -> tuple[EvidenceFile, ...]:
    """List the evidence of an audit's folder, each file with its hash.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    found = [(name, folder / name, sha256_of_file(folder / name)) for name in EVIDENCE]
    return tuple(EvidenceFile(name, path.stat().st_size, digest) for name, path, digest in found if digest)


def write_sums(folder: AuditFolder, names: Collection[str] | None = None) -> None:
    """Write the SHA-256 of every file of the audit into ``SHA256SUMS``, as ``sha256sum --check`` reads it.

    Args:
        folder: the audit's folder.
        names: the files whose lines are written anew, where there is a list already: the others' lines stay.
    """
    found = _lines(_sums(folder))
    if names is not None and folder.has(SUMS):
        kept = _lines(read_regular(folder / SUMS, MAX_SUMS_BYTES))
        found = kept | {name: found[name] for name in names if name in found}
    write_atomically(folder / SUMS, "".join(f"{found[name]}  {name}\n" for name in sorted(found)).encode())


def check_sums(folder: AuditFolder) -> str:
    """Compare every file with ``SHA256SUMS``; return what was seen, in words.

    Raises:
        EvidenceError: a file was altered, is missing, or was added; the message names the first.
    """
    try:
        recorded = read_regular(folder / SUMS, MAX_SUMS_BYTES)
    except OSError as error:
        raise EvidenceError(f"cannot read {SUMS}: {error.strerror}") from error
    found = _sums(folder)
    if recorded != found:
        raise EvidenceError(_difference(recorded, found))
    others = [name for name in files_below(folder.path) if not folder.owns(name)]
    if others:
        raise EvidenceError(f"{min(others)} is no file of an audit: take it out of the folder")
    count = len(found.splitlines())
    return f"{count} files have the hashes recorded when the audit ended"


def listed_files(folder: AuditFolder) -> dict[str, str]:
    """Return the SHA-256 of every file of the folder, by name, but for the list itself, the lock and the closing."""
    return _lines(_sums(folder))


def _sums(folder: AuditFolder) -> bytes:
    names = sorted(name for name in _files(folder) if name not in _UNLISTED)
    return "".join(f"{sha256_of_file(folder / name)}  {name}\n" for name in names).encode()


def _files(folder: AuditFolder) -> list[str]:
    try:
        return [name for name in files_below(folder.path) if folder.owns(name)]
    except OSError as error:
        raise EvidenceError(f"cannot list {folder.path}: {error.strerror}") from error


def _lines(content: bytes) -> dict[str, str]:
    """Read a list of hashes: by name, the hash.

    Raises:
        ValueError: it is none.
    """
    return dict(line.split("  ", 1)[::-1] for line in content.decode().splitlines())


def sha256_of_file(path: Path) -> str | None:
    """Return a file's SHA-256 in hexadecimal, or None where there is no such file.

    Raises:
        ConfigurationError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def _difference(recorded: bytes, found: bytes) -> str:
    try:
        before, now = _lines(recorded), _lines(found)
    except ValueError:
        return f"{SUMS} itself was altered: it is no list of hashes"
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            return f"{name} is missing"
        if name not in before:
            return f"{name} was added, or its line in {SUMS} was altered"
        if before[name] != now[name]:
            return f"{name} was altered, or its line in {SUMS}: its SHA-256 is {now[name]}"
    return f"{SUMS} itself was altered"
