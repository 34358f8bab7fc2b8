"""Programs of this package that run beside the one that starts them, and end with it, however it ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from metav_audit.errors import ConfigurationError, RemoteError

START_S = 300.0
"""Seconds that a program may take until it is ready."""

END_S = 10.0
"""Seconds that it may take to end."""

_SAID_BYTES = 4096


@contextmanager
def running(module: str, words: Sequence[object], what: str) -> Iterator[str]:
    """Run ``python -m module words`` in a process of its own; yield the first line it prints, which says it is ready.

    Its standard input closes at the end of the block, or when this process dies, and that ends it.

    Args:
        module: that is run; it ends when its standard input does.
        words: the arguments.
        what: it is, for messages.

    Raises:
        ConfigurationError: it ends at once with exit code 2; the message repeats its last line.
        RemoteError: it does not start otherwise.
    """
    # "-P": the working directory is not searched for this package, as for any installed program.
    command = [sys.executable, "-P", "-m", module, *map(str, words)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as child,  # noqa: S603
    ):
        try:
            ready = _first_line(child)
            if not ready:
                kind = ConfigurationError if child.wait() == 2 else RemoteError
                raise kind(f"{what} did not start: {_last_line(said)}")
            yield ready
        finally:
            _end(child)


def _first_line(child: subprocess.Popen[bytes]) -> str:
    too_long = threading.Timer(START_S, child.kill)
    too_long.start()
    try:
        assert child.stdout is not None
        return child.stdout.readline().decode("utf-8", "replace").strip()
    finally:
        too_long.cancel()


def _end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _last_line(said: IO[bytes]) -> str:
    size = said.seek(0, 2)
    said.seek(max(0, size - _SAID_BYTES))
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("metav-audit: ") if lines else "it said nothing"
