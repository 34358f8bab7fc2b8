"""The examples for schedulers: linted by their own programs where these are at hand, and their commands run."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import sqlite3
import subprocess
import sys
import types
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml

from metav_audit.watch.fleet import load_fleet
from tests.audit.test_cli import BUNDLE, FAR, TARGET, table
from tests.servers import ModelServer

EXAMPLES = Path(__file__).parents[2] / "examples" / "watch"
PLACE = "/srv/watch/fleet.toml"
FIELD = r"(\*|\d+|\*/\d+)"


@pytest.fixture
def fleet(tmp_path):
    """A fleet of one endpoint that does not match; its path."""
    BUNDLE.save(tmp_path / "toy.bundle")
    text = '[watches.ours]\nendpoints = "endpoints.toml"\nbundles = ["toy.bundle"]\n'
    (tmp_path / "fleet.toml").write_text(text)
    with ModelServer(FAR) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        yield tmp_path / "fleet.toml", server


@pytest.fixture
def metav_audit(tmp_path, monkeypatch):
    """The program ``metav-audit`` on the path, as it is here."""
    script = tmp_path / "bin" / "metav-audit"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m metav_audit "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


def sh(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


def test_the_fleet_file_is_read():
    """Every key of it."""
    assert load_fleet(EXAMPLES / "fleet.toml").file.notify["chat"].shape == "slack"


def test_cron_s_lines_are_lines_of_cron_and_run(fleet, metav_audit, tmp_path):
    """Five fields and a command; the page's, too."""
    lines = [line for line in (EXAMPLES / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    jobs = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    assert all(re.match(rf"({FIELD} ){{4}}{FIELD}  metav-audit ", line) for line in jobs)
    for line in jobs:
        command = line.split("  ", 1)[1].replace("/srv", str(tmp_path)).replace(f"{tmp_path}/watch/", f"{tmp_path}/")
        done = sh(command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "www" / "watch" / "index.html").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_its_units(metav_audit, tmp_path):
    """As they stand, but for where the program lies."""
    for name in ("metav-audit-watch.service", "metav-audit-watch.timer"):
        text = (EXAMPLES / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/metav-audit/bin/metav-audit", str(metav_audit)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "metav-audit-watch.timer"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "metav-audit-watch" in line]
    assert (done.returncode, said) == (0, [])


def test_the_cron_job_is_one_of_kubernetes(fleet):
    """Of its schema, where that is at hand; its arguments are the program's."""
    job = yaml.safe_load((EXAMPLES / "cronjob.yaml").read_text())
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (job["apiVersion"], job["kind"], pod["restartPolicy"]) == ("batch/v1", "CronJob", "Never")
    arguments = [str(fleet[0]) if word == "/watch/fleet.toml" else word for word in pod["containers"][0]["args"]]
    assert subprocess.run([sys.executable, "-m", "metav_audit", *arguments], check=False).returncode == 0
    if find_spec("kubernetes_validate"):
        import kubernetes_validate

        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def test_airflow_s_task_runs_the_program(fleet, metav_audit, monkeypatch):
    """With stand-ins for Airflow's classes: the schedule is one, and the command runs."""
    made = {}

    class Stage:
        def __init__(self, name, **options):
            made["dag"] = options

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    sdk, bash = types.ModuleType("airflow.sdk"), types.ModuleType("airflow.providers.standard.operators.bash")
    sdk.DAG, bash.BashOperator = Stage, made.update
    names = "airflow", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.operators"
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for module in (sdk, bash):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    runpy.run_path(str(EXAMPLES / "airflow_dag.py"))
    assert re.fullmatch(rf"({FIELD} ){{4}}{FIELD}", made["dag"]["schedule"])
    command = re.sub(r"\{\{.*?\}\}", str(fleet[0]), made["bash_command"])
    assert sh(command).returncode == 0


def test_prefect_s_flow_fails_for_a_match_alone(fleet, metav_audit, monkeypatch):
    """With stand-ins for its decorators, which change nothing of what is run."""
    prefect = types.ModuleType("prefect")
    prefect.flow = prefect.task = lambda function: function
    monkeypatch.setitem(sys.modules, "prefect", prefect)
    flow = runpy.run_path(str(EXAMPLES / "prefect_flow.py"))["audit_what_is_due"]
    path, server = fleet
    flow(str(path))
    server.model = TARGET
    path.write_text(path.read_text() + 'every = "60s"\n' + "[retention]\n")
    with sqlite3.connect(path.with_name("watch.sqlite3")) as connection:
        connection.execute("UPDATE targets SET slot = 0")
    connection.close()
    with pytest.raises(RuntimeError, match="exit code 1"):
        flow(str(path))


def test_the_workflow_is_one_of_github_s():
    """Of its schema; the two commands are the program's."""
    workflow = yaml.safe_load((EXAMPLES / "github-workflow.yml").read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key so.
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json").read_text())
    jsonschema.Draft7Validator(schema).validate(workflow)
    commands = [step["run"].split()[:2] for step in workflow["jobs"]["watch"]["steps"] if "run" in step]
    assert commands[1:] == [["metav-audit", "watch"], ["metav-audit", "page"]]
