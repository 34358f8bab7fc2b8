"""An audit's folder as one file: a zip archive, the same bytes for the same folder, and back again within bounds."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.files import files_below, in_the_place_of, open_regular
from metav_audit.verdict import LOCK, AuditFolder

MAX_FILES = 10_000
MAX_BYTES = 8 << 30
FREE_BYTES = 64 << 20
MOST_SWOLLEN = 100
"""Beyond ``FREE_BYTES`` an archive unpacks to no more than so many times its size."""
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    IndexError,
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = {LOCK}


def pack_folder(folder: Path, path: Path) -> list[str]:
    """Write the audit's files into a zip archive, whole or not at all; the same folder gives the same bytes.

    Returns the names of what else lies in the folder, and so is left out.

    Raises:
        ConfigurationError: the folder cannot be read, or ``path`` cannot be written.
    """
    try:
        found, audit = sorted(files_below(folder, MAX_FILES)), AuditFolder(folder)
        names, others = ([name for name in found if audit.owns(name) is ours] for ours in (True, False))
        with in_the_place_of(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (name for name in names if name not in _LEFT_OUT):
                _add(archive, name, folder / name)
    except OSError as error:
        raise ConfigurationError(f"cannot pack {folder} into {path}: {error.strerror}") from error
    return others


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a folder as it is, and an archive's files in a temporary folder while the block lasts.

    Raises:
        EvidenceError: the archive is damaged, too large, or holds anything but plain files below it.
    """
    if path.is_dir() or not path.exists():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="metav-audit-") as name:
        folder = Path(name) / "audit"
        try:
            with open_regular(path, follow=True) as file, zipfile.ZipFile(file) as archive:
                _extract(archive, folder)
        except _DAMAGES as error:
            raise EvidenceError(f"{path} is no archive of an audit, or is damaged: {error}") from error
        yield folder


def first_lines(folder: Path, name: str, limit: int) -> Iterator[tuple[Path, bytes]]:
    """Yield a folder's archives, ``MAX_FILES`` at most, each with the first line of a file in it; pass over others.

    Args:
        folder: where they lie, as NAME.zip.
        name: of the file in each.
        limit: bytes of a line that are read at most.
    """
    for path in sorted(folder.glob("*.zip"))[:MAX_FILES]:
        try:
            with open_regular(path, follow=True) as file, zipfile.ZipFile(file) as archive, archive.open(name) as lines:
                line = lines.readline(limit)
        except (KeyError, *_DAMAGES):
            continue
        yield path, line


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    with archive.open(entry, "w", force_zip64=True) as target, open_regular(file) as source:
        shutil.copyfileobj(source, target)


def _sizes(entry: zipfile.ZipInfo) -> tuple[int, int]:
    return entry.compress_size, entry.file_size


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = archive.infolist()
    held, unpacked_bytes = (sum(sizes) for sizes in zip(*map(_sizes, entries), strict=True)) if entries else (0, 0)
    if len(entries) > MAX_FILES or unpacked_bytes > min(MAX_BYTES, FREE_BYTES + MOST_SWOLLEN * held):
        raise EvidenceError(
            f"the archive holds more than {MAX_FILES} files or {MAX_BYTES} bytes, or swells more than "
            f"{MOST_SWOLLEN}-fold: it is none of ours"
        )
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if (
            not entry.filename
            or entry.is_dir()
            or ".." in parts
            or parts[:1] in ((), ("/",))
            or kind not in (0, stat.S_IFREG)
        ):
            raise EvidenceError(f"the archive holds {entry.filename!r}, which is no plain file below it")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as file:
            # zipfile stops at the size that the entry states, which was bounded above.
            shutil.copyfileobj(source, file)
