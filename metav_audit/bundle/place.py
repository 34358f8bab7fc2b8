"""Where a bundle's folder is written, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from metav_audit.errors import ConfigurationError

MANIFEST = "manifest.json"


def check_place(path: Path) -> None:
    """Raise ConfigurationError if something that is no bundle stands at ``path``."""
    if path.exists() and not (path / MANIFEST).is_file():
        raise ConfigurationError(f"{path} exists and is no bundle: choose another place for it")


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and flush it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def swap(fresh: Path, path: Path) -> None:
    """Put the folder ``fresh`` in the place of ``path``; a folder of another make is never removed."""
    check_place(path)
    old = fresh.with_name("old")
    if path.exists():
        path.rename(old)
    try:
        fresh.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
