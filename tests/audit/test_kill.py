from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metav_audit.audit import audit_endpoint
from metav_audit.transcript import load_transcript
from metav_audit.verdict import Asked, decide, read
from tests.audit.helpers import endpoint, places
from tests.builders import linear_model, make_bundle, make_task
from tests.scale import at_scale
from tests.servers import ModelServer

TASK = make_task()
BUNDLE = make_bundle(queries=120, task=TASK)
AUDITS, KILLS = at_scale(1, 10), at_scale(8, 20)

PROGRAM = """
import sys
from pathlib import Path
from metav_audit.audit import audit_endpoint, load_endpoints
from metav_audit.bundle.folder import FingerprintBundle

bundle = FingerprintBundle.load(Path(sys.argv[1]))
(endpoint,) = load_endpoints(Path(sys.argv[2]), bundle.task)
audit_endpoint(bundle, endpoint, Path(sys.argv[3]))
"""


def prepared(tmp_path, server):
    """Write bundle and endpoint file; return the command that audits them into ``tmp_path/audit``."""
    BUNDLE.save(tmp_path / "bundle")
    (tmp_path / "endpoints.toml").write_text(
        f'[endpoints.suspect]\nadapter = "open-inference-v2"\nurl = "{server.url}"\nmodel = "m"\n'
        "[endpoints.suspect.limits]\nconcurrency = 2\n"
    )
    return [sys.executable, "-c", PROGRAM, *(str(tmp_path / name) for name in ("bundle", "endpoints.toml", "audit"))]


def journal(folder):
    """The whole lines of a journal."""
    path = Path(folder) / "transcript.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def answered_places(folder):
    """Places of the schedule whose answer stands in the journal."""
    lines = journal(folder)
    answered = {line["request"] for line in lines if line["kind"] == "received" and line.get("answers")}
    return {
        place for line in lines if line["kind"] == "sent" and line["request"] in answered for place in line["queries"]
    }


def asked_after(folder, line):
    """Places asked since a line of the journal."""
    return {place for each in journal(folder)[line:] if each["kind"] == "sent" for place in each["queries"]}


def run_until(command, server, requests, extra_s, how):
    """Run the audit until the server saw ``requests`` more, wait a moment longer, and send it the signal ``how``."""
    goal = len(server.log) + requests
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while len(server.log) < goal and process.poll() is None:
        time.sleep(0.001)
    time.sleep(extra_s)
    process.send_signal(how)
    _, said = process.communicate()
    return process.returncode, said.decode()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(AUDITS))
def test_an_audit_killed_at_any_moment_asks_nothing_twice(tmp_path, seed):
    """Killed 20 times and run again: the same verdict and answers as undisturbed, and no answered query is repeated."""
    rng, moments = random.Random(seed), []
    with ModelServer(linear_model(TASK, 0), delay_s=0.03) as server:
        undisturbed = audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits={"concurrency": 8}), tmp_path / "whole")
        server.log.clear()
        command = prepared(tmp_path, server)
        killed, settled = 0, set()
        for _ in range(KILLS):
            so_far = len(journal(tmp_path / "audit"))
            code, _ = run_until(command, server, rng.randint(0, 9), rng.uniform(0, 0.04), signal.SIGKILL)
            killed += code == -signal.SIGKILL
            assert not settled & asked_after(tmp_path / "audit", so_far)
            settled = answered_places(tmp_path / "audit")
            moments.append(len(settled))
        so_far = len(journal(tmp_path / "audit"))
        subprocess.run(command, check=True)
        assert not settled & asked_after(tmp_path / "audit", so_far)
    resumed = load_transcript(tmp_path / "audit" / "transcript.jsonl")
    assert killed == KILLS
    assert 0 < moments[-1] < places(120), "the kills land within the audit"
    assert resumed.finished
    assert Asked.of(BUNDLE, resumed).answers == Asked.of(BUNDLE, undisturbed).answers
    assert decide(BUNDLE, read(BUNDLE, resumed)).score == decide(BUNDLE, read(BUNDLE, undisturbed)).score
    assert decide(BUNDLE, read(BUNDLE, resumed)).outcome is decide(BUNDLE, read(BUNDLE, undisturbed)).outcome
    assert resumed.requests >= len(server.log)
    assert resumed.exchanges[-1].rank == places(120) - 1, "what closes the audit comes last"


def test_ctrl_c_stops_cleanly_and_the_audit_resumes(tmp_path):
    """SIGINT ends in KeyboardInterrupt; the journal is whole to its last byte, and the next run finishes it."""
    with ModelServer(linear_model(TASK, 0), delay_s=0.02) as server:
        command = prepared(tmp_path, server)
        code, said = run_until(command, server, 10, 0.0, signal.SIGINT)
        assert code in (-signal.SIGINT, 130, 1)
        assert said.rstrip().endswith("KeyboardInterrupt")
        interrupted = load_transcript(tmp_path / "audit" / "transcript.jsonl")
        assert interrupted.finished is None
        assert 0 < sum(answer is not None for answer in interrupted.answers) < places(120)
        subprocess.run(command, check=True)
    assert None not in load_transcript(tmp_path / "audit" / "transcript.jsonl").answers


def test_ctrl_c_on_the_command_line_exits_with_130(tmp_path):
    """The command says in one line how to go on."""
    with ModelServer(linear_model(TASK, 0), delay_s=0.02) as server:
        prepared(tmp_path, server)
        main = "from metav_audit.cli import main; main()"
        arguments = ["audit", str(tmp_path / "bundle"), str(tmp_path / "endpoints.toml"), "-o", str(tmp_path / "out")]
        code, said = run_until([sys.executable, "-c", main, *arguments], server, 5, 0.0, signal.SIGINT)
    assert code == 130
    assert said.strip() == "metav-audit: interrupted; run the same command again to go on"
    assert os.path.exists(tmp_path / "out" / "suspect" / "transcript.jsonl")
