"""What a report's bytes depend on beside the evidence: the programs that draw and typeset it, and their platform."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version


def makers(*packages: str) -> tuple[str, ...]:
    """Name packages with their versions, and the platform."""
    return *(f"{name} {version(name)}" for name in packages), f"{sys.platform} {platform.machine()}"
