"""Many endpoints at once, and audits on a schedule."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metav_audit.audit import audit_side_by_side, client, load_endpoints
from tests.audit.test_cli import BUNDLE, TARGET, TASK, run, table
from tests.servers import ModelServer, always

__all__ = ["run"]

DOCS = Path(__file__).parents[2] / "docs" / "schedules.md"


def test_endpoints_are_asked_side_by_side_and_handed_over_in_the_file_s_order(tmp_path):
    """Two endpoints that answer only while both are being asked are both answered."""
    both = threading.Barrier(2, timeout=30)

    met = {"first": False, "second": False}

    def meeting(name):
        def model(inputs):
            if not met[name]:
                met[name] = True
                both.wait()
            return TARGET(inputs)

        return model

    done = []
    with ModelServer(meeting("first")) as one, ModelServer(meeting("second")) as two:
        (tmp_path / "endpoints.toml").write_text(table("first", one.url) + table("second", two.url))
        endpoints = load_endpoints(tmp_path / "endpoints.toml", TASK)
        audit_side_by_side(BUNDLE, endpoints, tmp_path / "out", parallel=2, finish=done.append)
    assert [audited.endpoint.name for audited in done] == ["first", "second"]
    assert all(audited.error is None for audited in done)


@pytest.mark.parametrize(("model", "code"), [(TARGET, 1), (None, 5)])
def test_a_fault_in_one_endpoint_s_audit_takes_no_verdict_of_another_along(run, tmp_path, monkeypatch, model, code):
    """Its traceback stands in a file, the match beside it is told, and every line and file is written."""
    honest = client.audit_endpoint_async

    async def broken(bundle, endpoint, *given, **more):
        if endpoint.name == "odd":
            raise OverflowError("nobody foresaw it")
        return await honest(bundle, endpoint, *given, **more)

    monkeypatch.setattr("metav_audit.audit.fleet.audit_endpoint_async", broken)
    with ModelServer(model or TARGET, fault=None if model else always(404)) as server:
        text = table("odd", server.url) + table("fine", server.url)
        ended, out, err = run(text, "--format", "json", "--write", str(tmp_path / "run.prom"))
    assert ended == code
    lines = [json.loads(line) for line in out.splitlines()]
    assert [each["endpoint"] for each in lines] == ["odd", "fine"]
    assert "OverflowError, a fault of metav-audit" in lines[0]["error"]
    assert "please report it with" in err
    assert (tmp_path / "run.prom").exists()


def test_a_new_run_asks_everything_anew_in_a_folder_of_its_own(run, tmp_path):
    """With --new-run two runs leave two folders, and each query was asked in both."""
    with ModelServer(TARGET) as server:
        run(table("a", server.url), "--new-run")
        asked = len(server.log)
        code, _, _ = run(table("a", server.url), "--new-run")
        assert len(server.log) == 2 * asked
    assert code == 1
    assert len(list((tmp_path / "out").glob("*/a/verdict.json"))) == 2


def test_several_endpoints_are_put_side_by_side_in_a_summary(run, tmp_path):
    """The gravest first, an endpoint that could not be asked among them; one endpoint alone gets no summary."""
    with ModelServer(TARGET) as server, ModelServer(TARGET, fault=always(401)) as closed:
        run(table("one", server.url), out="alone")
        code, _, _ = run(table("closed", closed.url) + table("open", server.url), "--paper", "letter")
    assert code == 1
    assert not list((tmp_path / "alone").glob("summary.*"))
    out = tmp_path / "out"
    assert {path.name for path in out.glob("summary.*")} == {"summary.csv", "summary.html", "summary.pdf"}
    rows = [row[:3] for row in csv.reader((out / "summary.csv").read_text().splitlines())]
    assert rows == [["endpoint", "folder", "outcome"], ["open", "open", "match"], ["closed", "closed", ""]]
    assert str(tmp_path) not in (out / "summary.html").read_text()


def test_a_dry_run_sends_and_writes_nothing(run, tmp_path):
    """It prints queries, requests at least and at most, and the cost where a price is given."""
    with ModelServer(TARGET) as server:
        text = table("a", server.url, batch=4) + "limits = {requests = 40, price = 0.5}\n"
        code, out, err = run(text, "--dry-run")
        _, line, _ = run(text, "--dry-run", "--format", "json")
        assert server.log == []
    assert (code, err) == (0, "")
    assert out.startswith("a: 8 queries and 16 inputs beside them in ")
    assert "40 at most" in out
    assert "cost " in out
    assert json.loads(line)["cost_at_most"] == 20
    assert not (tmp_path / "out").exists()


def scheduled(tmp_path, line, **environment):
    """Run a documented command line in a shell, with its folder moved to ``tmp_path`` and no terminal."""
    program = Path(sys.executable).parent
    moved = line.replace("/srv/audit", str(tmp_path))
    path = f"{program}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", moved], env={**os.environ, "PATH": path, **environment}, capture_output=True, check=False
    )


def documented(pattern):
    found = re.search(pattern, DOCS.read_text(), re.MULTILINE)
    assert found
    return found[1]


def prepared(tmp_path, *servers):
    BUNDLE.save(tmp_path / "bundle")
    text = "".join(table(f"s{number}", server.url) for number, server in enumerate(servers))
    (tmp_path / "endpoints.toml").write_text(text)


@pytest.mark.soak
def test_the_documented_crontab_line_runs_twice(tmp_path):
    """Its two runs leave two lines a target, nothing else on stdout; the failing target stands on stderr, too."""
    line = documented(r"^    17 3 \* \* 1  (.*)$")
    with ModelServer(TARGET) as server, ModelServer(TARGET, fault=always(401)) as closed:
        prepared(tmp_path, server, closed)
        codes = [scheduled(tmp_path, line).returncode for _ in range(2)]
    assert codes == [1, 1]
    verdicts = [json.loads(text) for text in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert [verdict["outcome"] for verdict in verdicts] == ["match", None] * 2
    assert len((tmp_path / "errors.log").read_text().splitlines()) == 2
    assert len(list((tmp_path / "runs").glob("*/s0/report.pdf"))) == 2


@pytest.mark.soak
def test_the_documented_systemd_service_s_command_runs(tmp_path):
    """ExecStart gives a verdict on stdout, nothing on stderr, and an exit code that the unit counts as success."""
    with ModelServer(TARGET) as server:
        prepared(tmp_path, server)
        done = scheduled(tmp_path, documented(r"^ExecStart=(.*)$"))
    assert str(done.returncode) in documented(r"^SuccessExitStatus=(.*)$").split()
    assert json.loads(done.stdout)["outcome"] == "match"
    assert done.stderr == b""
