"""Programs that run beside this one: ready, failing, silent, and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from metav_audit import processes as children
from metav_audit.errors import ConfigurationError, RemoteError
from metav_audit.processes import running

READY = "import os, sys\nprint(os.getpid(), *sys.argv[1:], flush=True)\n"
WAITS = READY + "sys.stdin.read()\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module of this text that can be run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(text):
        (tmp_path / "a_child.py").write_text(text)
        return "a_child"

    return make


def gone(process_id):
    """Wait until a process is no more; False if it is still there after a while."""
    for _ in range(500):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_program_runs_as_long_as_the_block(module):
    """Its first line and its arguments come through; at the end it is gone."""
    with running(module(WAITS), ["--port", 7], "the child") as ready:
        process_id, *arguments = ready.split()
        assert arguments == ["--port", "7"]
        os.kill(int(process_id), 0)
    assert gone(int(process_id))


def test_a_program_ends_with_the_block_when_that_fails(module):
    """An error, or Ctrl-C, leaves nothing running."""
    with pytest.raises(KeyboardInterrupt), running(module(WAITS), [], "the child") as ready:
        raise KeyboardInterrupt
    assert gone(int(ready))


def test_a_program_ends_when_its_parent_is_killed(module, tmp_path):
    """SIGKILL to the one that started it is enough."""
    text = f"from metav_audit.processes import running\nwith running({module(WAITS)!r}, [], 'x') as ready:\n"
    text += "    print(ready, flush=True)\n    input()\n"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe) as parent:
        process_id = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert gone(process_id)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("import sys\nsys.exit('metav-audit: no such thing')", RemoteError, "the child did not start: no such thing"),
        ("import sys\nprint('wrong', file=sys.stderr)\nsys.exit(2)", ConfigurationError, "did not start: wrong"),
        ("", RemoteError, "did not start: it said nothing"),
        ("raise ValueError('first')", RemoteError, "did not start: ValueError: first"),
    ],
)
def test_a_program_that_does_not_start_is_told_in_its_own_words(module, text, kind, said):
    """Exit code 2 is the user's mistake; everything else is not."""
    with pytest.raises(kind, match=said), running(module(text), [], "the child"):
        pass


def test_a_program_that_never_gets_ready_or_does_not_end_is_killed(module, monkeypatch):
    """Neither holds up the one that started it."""
    monkeypatch.setattr(children, "START_S", 1.0)
    with pytest.raises(RemoteError, match="did not start"), running(module("input()"), [], "the child"):
        pass
    monkeypatch.setattr(children, "START_S", 300.0)
    monkeypatch.setattr(children, "END_S", 0.1)
    with running(module(READY + "while True: pass"), [], "the child") as ready:
        pass
    assert gone(int(ready))
