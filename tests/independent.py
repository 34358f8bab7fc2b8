"""docs/verify_drawn_independently.py, as whoever copies it runs it: beside the script whose reading it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
DRAWN = DOCS / "verify_drawn_independently.py"


def run_drawn(folder: Path) -> tuple[int, str]:
    """Check a folder; return the exit code and what is said."""
    ended = subprocess.run([sys.executable, DRAWN, folder], capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr
