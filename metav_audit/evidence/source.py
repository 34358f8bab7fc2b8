"""Which program this is: its version, and one hash over its source."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from metav_audit import version


def program() -> dict[str, str]:
    """Name this program, as signed statements do: its version, and the hash of its source."""
    return {"metav_audit": version.__version__, "source_sha256": source_sha256()}


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """Return the SHA-256 over this package's source, in hexadecimal.

    It is the hash of the list that ``sha256sum`` writes of its ``*.py`` files, in the order of their names. Beside the
    package, anyone has it with ``find metav_audit -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum``.
    """
    package = Path(version.__file__).parent
    files = {f"{package.name}/{path.relative_to(package).as_posix()}": path for path in package.rglob("*.py")}
    lines = (f"{hashlib.sha256(files[name].read_bytes()).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
