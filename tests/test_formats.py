"""Targets of other libraries: init, fit, and the audit of a copy and of an independent, each kind end to end."""

from __future__ import annotations

import json

import pytest

from metav_audit.cli import main
from tests.tables import FILES, write_table


def run(*words) -> int:
    """The command line's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code or 0


ENDPOINTS = """\
[endpoints.copy]
adapter = "python-callable"
url = "python:{module}:copy"
batch = 64
[endpoints.other]
adapter = "python-callable"
url = "python:{module}:other"
batch = 64
"""

MODULE = """\
from pathlib import Path
import numpy as np
from metav_audit.zoo.project import load_project, open_target
from metav_audit.zoo.formats.reading import as_opaque
from tests.tables import PROGRAMS, TABLE, rows, shares_of

target = open_target(load_project(Path({folder!r}))).network
rival = as_opaque(PROGRAMS["pickle"](5, rows(9, 160)), TABLE, "array", None)

def copy(inputs):
    return shares_of(target, inputs)

def other(inputs):
    return shares_of(rival, inputs)
"""


QUICK = ("sklearn",)
"""The kind that every run sees; the others are the soak's."""


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.soak) for kind in FILES]
)
def test_a_target_of_each_kind_goes_all_the_way(kind, tmp_path, monkeypatch, capsys):
    """From its own file to a verdict: its copy is a match, and another's model none."""
    project = write_table(tmp_path, kind)
    assert run("fit", project, "-o", tmp_path / "bundle", "--jobs", 1) == 0
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["method"] == "siblings"
    module = f"served_{kind}"
    (tmp_path / f"{module}.py").write_text(MODULE.format(folder=str(tmp_path)))
    (tmp_path / "endpoints.toml").write_text(ENDPOINTS.format(module=module))
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "audits"]
    assert run(*words, "--allow-python") == 1
    told = {name: json.loads((tmp_path / "audits" / name / "verdict.json").read_text()) for name in ("copy", "other")}
    assert told["copy"]["outcome"] == "match"
    assert told["other"]["outcome"] != "match"
    capsys.readouterr()
