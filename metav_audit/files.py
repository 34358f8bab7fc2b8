"""Files that stand whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from metav_audit.errors import ConfigurationError


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` under a temporary name, flush it to disk, and rename it to ``path``.

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
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; choose a folder you may write to") from error
