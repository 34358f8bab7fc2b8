"""Files that stand whole or not at all, and JSON that is JSON."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from metav_audit.errors import ConfigurationError


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``content`` under a temporary name, flush it to disk, and rename it to ``path``.

    ``mode`` says who may read it; nobody but its owner may before the end.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from error


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
