"""Files that stand whole or not at all, files that others may have laid down, and JSON that is JSON."""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from metav_audit.errors import ConfigurationError, SecretError


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write ``content`` under a temporary name, flush it to disk, and rename it to ``path``.

    ``mode`` says who may read and write it, less what the process's umask takes away.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_the_place_of(path, mode) as file:
            file.write(content)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from error


@contextmanager
def in_the_place_of(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Give a new file to write to, which takes the place of ``path`` when the block ends without an error.

    Raises:
        OSError: the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def open_regular(path: Path, *, follow: bool = False, write: bool = False, append: bool = False) -> BinaryIO:
    """Open a regular file that others may have laid down; what is none is refused at once, and not waited for.

    Args:
        path: the file. A link in its last part is refused: it would show, as theirs, a file that is the reader's own.
        follow: follow it nevertheless, for what the operator has named on the command line.
        write: open it for writing as well; it must be there.
        append: open it for writing behind its end; it is made where it is not there.

    Raises:
        OSError: it cannot be opened, or is a link, a folder, a device, a pipe; ``strerror`` says which.
    """
    way = os.O_WRONLY | os.O_APPEND | os.O_CREAT if append else os.O_RDWR if write else os.O_RDONLY
    try:
        handle = os.open(path, way | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink() and not follow:
            raise OSError(errno.ELOOP, "it is a link, and links are not followed", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(handle, "ab" if append else "r+b" if write else "rb")


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """Read a whole regular file of at most ``limit`` bytes; see ``open_regular``.

    Raises:
        OSError: it cannot be opened, is no regular file, is larger, or changes while it is read.
    """
    with open_regular(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", str(path))
        content = file.read(size + 1)
    if len(content) != size:
        raise OSError(errno.EAGAIN, "it changes while it is read", str(path))
    return content


def files_below(folder: Path, most: int = 10_000) -> Iterator[str]:
    """Name the regular files in a folder and in the folders in it, with slashes, in no order.

    Raises:
        OSError: a folder cannot be read, something is neither file nor folder, or there are more than ``most``.
    """
    found = 0
    for base, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            path, found = Path(base, name), found + 1
            kind = path.lstat().st_mode
            if found > most:
                raise OSError(errno.EFBIG, f"it holds more than {most} files", str(folder))
            if stat.S_ISREG(kind):
                yield path.relative_to(folder).as_posix()
            elif not stat.S_ISDIR(kind):
                raise OSError(errno.EINVAL, f"{path.relative_to(folder).as_posix()} is a link or no regular file", name)


def _raise(error: OSError) -> NoReturn:
    raise error


def read_private(path: Path, limit: int, made_by: str) -> bytes:
    """Read a key's file, at most ``limit`` bytes of it, if nobody but its owner may.

    Args:
        path: the file.
        limit: bytes.
        made_by: the command that makes such a file, for messages.

    Raises:
        SecretError: others may read it.
        ConfigurationError: it cannot be read.
    """
    try:
        with open_regular(path, follow=True) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise SecretError(f"others may read the key {path} (mode {mode:03o}): run 'chmod 600 {path}'")
            return file.read(limit)
    except OSError as error:
        raise ConfigurationError(f"cannot read the key {path}: {error.strerror}; '{made_by}' makes one") from error


def strict_json(text: bytes | str) -> Any:
    """Parse JSON without Python's extensions NaN and Infinity, and without numbers too large for a float.

    Every file that others may have written is read by this: an object that names a key twice has two readings, and is
    refused.

    Raises:
        ValueError: it is not JSON, nested too deeply, or names a key twice.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    names = [name for name, _ in pairs]
    raise ValueError(f"the key {max(names, key=names.count)[:80]!r} is named twice")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
