"""Make all environments, three at a time, and the bundle; ``python -m tests.peers.prepare``. What stands is kept."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from metav_audit.progress import ProgressLine
from tests.peers.digits import make_digits
from tests.peers.environments import NAMES, make_environment


def main() -> None:
    """Say what is made as it is made."""
    with ThreadPoolExecutor(3) as pool:
        for name, seconds in zip(NAMES, pool.map(_timed, NAMES), strict=True):
            sys.stderr.write(f"environment {name} stands ({seconds:.0f} s)\n")
    make_digits(ProgressLine)


def _timed(name: str) -> float:
    began = time.monotonic()
    make_environment(name)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
