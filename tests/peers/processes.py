"""A server as a process: started, waited for, and ended with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

READY_S = 120
END_S = 20
_TAIL = 4000


RUNNING: list[Path] = []
"""The logs of the servers that run now."""


def last_words() -> list[tuple[str, str]]:
    """The ends of the running servers' logs, each with a title."""
    return [(f"log of {log.name}", tail(log)) for log in RUNNING]


@contextlib.contextmanager
def serving(words: Sequence[object], ready_url: str, log: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a server until the block ends.

    Args:
        words: the command; it runs in the log's folder, in a process group of its own.
        ready_url: answered with 200 as soon as the server is ready.
        log: takes its output.
        env: its variables.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, words)),
            cwd=log.parent,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    RUNNING.append(log)
    try:
        _wait(process, ready_url, log)
        yield
    finally:
        RUNNING.remove(log)
        _end(process)


def tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL:].decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not _answers(url):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it was ready:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} was not ready within {READY_S} s:\n{tail(log)}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and insist after a while; the group's number is the first process's."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        _tell(process.pid, wish)
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            process.poll()
            if not _tell(process.pid, 0):
                return
            time.sleep(0.1)
    raise RuntimeError(f"processes of the group {process.pid} did not end")


def _tell(group: int, wish: int) -> bool:
    """Send a signal to a group; return whether any of it was there."""
    try:
        os.killpg(group, wish)
    except ProcessLookupError:
        return False
    return True
