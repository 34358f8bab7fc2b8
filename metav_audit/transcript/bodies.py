"""Bodies of requests and responses, as they went over the wire: compressed, one after the other, in ``bodies.pack``.

The transcript's records name a body by its SHA-256 and say where it lies: ``[start, size]`` of its zlib stream in the
file. Equal bodies are kept once. Nothing else is in the file, so that the records account for each of its bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from metav_audit.errors import TranscriptError
from metav_audit.files import open_regular

BODIES = "bodies.pack"
MAX_BODY_BYTES = 1 << 28
"""No body is larger than this, unpacked: the client's own limit is not above it."""

FREE_BYTES = 1 << 30
MOST_SWOLLEN = 100
"""Beyond ``FREE_BYTES``, the bodies that are read are no more than so many times as large as their file."""

_REMEMBERED = 4096
"""So many of the last bodies are remembered, to keep equal ones once; older ones are written again."""

Place = tuple[int, int]
"""Where a body lies in the file: the first byte of its zlib stream, and the stream's size."""


class BodyWriter:
    """Appends bodies to a file.

    Args:
        path: the file; it is made if need be.
        end: its bytes up to here are accounted for; what lies behind them was cut off in the middle and is dropped.

    Raises:
        OSError: the file cannot be written.
        TranscriptError: the file is shorter than the records say.
    """

    def __init__(self, path: Path, end: int) -> None:
        self._file: BinaryIO = _opened(path)
        self._known: OrderedDict[bytes, Place] = OrderedDict()
        self._end = end
        size = self._file.seek(0, os.SEEK_END)
        if size < end:
            self._file.close()
            raise TranscriptError(f"{path} is truncated: it has {size} bytes, the transcript names {end}")
        self._file.truncate(end)
        self._file.seek(end)

    def keep(self, content: bytes, sha256: str | None = None) -> Place:
        """Hand a body, by its hash if that is known, to the operating system unless it is there; return its place."""
        digest = hashlib.sha256(content).digest() if sha256 is None else bytes.fromhex(sha256)
        place = self._known.get(digest)
        if place is None:
            stream = _compressed(content)
            self._file.write(stream)
            self._file.flush()
            place = self._known[digest] = (self._end, len(stream))
            self._end += len(stream)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return place

    def sync(self) -> None:
        """Bring everything to disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _opened(path: Path) -> BinaryIO:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return open_regular(path, write=True)


def _compressed(content: bytes) -> bytes:
    # Most bodies are small: making zlib's usual tables ready would take longer than compressing them.
    deflater = zlib.compressobj(1, memLevel=4)
    return deflater.compress(content) + deflater.flush()


class BodyReader:
    """Reads bodies by their places; use it as a context manager.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_regular(path)
        self.size = self._file.seek(0, os.SEEK_END)
        self._left = max(FREE_BYTES, MOST_SWOLLEN * self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, place: Place) -> bytes:
        """Return a body.

        Raises:
            TranscriptError: there is none at that place, or all that were read are too many bytes for their file.
        """
        start, size = place
        self._file.seek(start)
        inflater = zlib.decompressobj()
        try:
            content = inflater.decompress(self._file.read(size), MAX_BODY_BYTES)
        except zlib.error:
            content = b""
        if not inflater.eof or inflater.unused_data:
            raise TranscriptError(f"{self._path} holds no body at bytes {start} to {start + size}: it was altered")
        self._left -= len(content)
        if self._left < 0:
            raise TranscriptError(
                f"{self._path} swells more than {MOST_SWOLLEN}-fold when it is read: it is none of ours"
            )
        return content


def is_place(value: object) -> bool:
    """Say whether a value read from JSON may be a place."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(part) is int and 0 <= part < 1 << 62 for part in value)
        and value[1] > 0
    )
