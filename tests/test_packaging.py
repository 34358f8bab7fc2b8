"""What an auditor installs: the wheel, away from the source tree, on a machine without torch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution, requires
from pathlib import Path

import numpy as np
import pytest

from metav_audit.bundle import FingerprintBundle
from tests.servers import ModelServer

SOURCE = Path(__file__).parents[1]
WHOLE = SOURCE / "fixtures" / "bundles" / "whole"


def sh(*words, cwd, check=True):
    """Run a program away from the source tree, with no variable that leads back to it."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONWARNINGS": "error::DeprecationWarning:metav_audit"}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def base_distributions() -> list[Distribution]:
    """The declared dependencies without extras, and theirs, as installed here."""
    names, found = ["metav-audit"], {}
    while names:
        name = names.pop()
        for requirement in requires(name) or []:
            word = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
            if ";" in requirement and not holds(requirement.partition(";")[2]):
                continue
            if word not in found:
                found[word] = distribution(word)
                names.append(word)
    return list(found.values())


def holds(marker: str) -> bool:
    """Whether an environment marker holds here, no extra being asked for."""
    from packaging.markers import Marker

    return Marker(marker).evaluate({"extra": ""})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the source."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(SOURCE / name, copy)
    for name in ("metav_audit", "adapters"):
        shutil.copytree(SOURCE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    sh(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "built", cwd=copy)
    (built,) = (copy / "built").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def venv(wheel, tmp_path_factory):
    """A fresh environment that holds the wheel and its declared dependencies, linked, and nothing else."""
    folder = tmp_path_factory.mktemp("auditor")
    sh(sys.executable, "-m", "venv", "--without-pip", "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    for each in base_distributions():
        for top in {Path(file).parts[0] for file in each.files or []} - {"..", "__pycache__"}:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(each.locate_file(top)))
    sh(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder


def target(inputs):
    """Answer the fixture's queries as its target does."""
    bundle = FingerprintBundle.load(WHOLE)
    distance = np.abs(bundle.inputs[None] - inputs[:, None]).sum(axis=(2, 3, 4))
    return np.exp(bundle.reference[distance.argmin(axis=1)].astype(np.float64))


def test_the_wheel_holds_code_and_nothing_else(wheel):
    """Both packages with templates and type markers; neither tests nor fixtures."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"metav_audit", "metav_audit_adapters"}
    for name in (
        "report/report.typ",
        "cli/project.toml",
        "watch/page/style.css",
        "watch/page/fleet.html.jinja",
        "py.typed",
    ):
        assert f"metav_audit/{name}" in names
    assert "metav_audit_adapters/py.typed" in names
    in_source = {str(path.relative_to(SOURCE)) for path in (SOURCE / "metav_audit").rglob("*.py")}
    assert in_source <= set(names)


@pytest.mark.soak
def test_an_auditor_needs_the_wheel_alone(venv, tmp_path):
    """Without torch and away from the source: audit a server, verify, report, list adapters, write a project."""
    program, python = venv / "env" / "bin" / "metav-audit", venv / "env" / "bin" / "python"
    for name in ("torch", "sklearn", "scipy", "joblib", "pytest"):
        assert sh(python, "-c", f"import {name}", cwd=tmp_path, check=False).returncode == 1
    where = sh(python, "-c", "import metav_audit; print(metav_audit.__file__)", cwd=tmp_path).stdout
    assert str(venv) in where
    shutil.copytree(WHOLE, tmp_path / "bundle")
    with ModelServer(target) as server:
        (tmp_path / "endpoints.toml").write_text(
            f'[endpoints.suspect]\nadapter = "open-inference-v2"\nurl = "{server.url}"\nmodel = "m"\n'
        )
        audited = sh(program, "audit", "bundle", "endpoints.toml", "-o", "audits", cwd=tmp_path, check=False)
    assert (audited.returncode, audited.stderr) == (1, ""), audited.stdout + audited.stderr
    assert audited.stdout.startswith("suspect: match")
    folder = tmp_path / "audits" / "suspect"
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["outcome"], verdict["queries"]) == ("match", 4)
    verified = sh(program, "verify", folder, cwd=tmp_path, check=False)
    assert (verified.returncode, "FAIL" in verified.stdout) == (6, False)
    assert len(sh(program, "report", folder, cwd=tmp_path).stdout.splitlines()) == 4
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "open-inference-v2 (metav-audit)" in sh(program, "adapters", cwd=tmp_path).stdout
    assert sh(program, "init", "new", cwd=tmp_path).stdout.strip() == "new/project.toml"


def test_the_owner_s_side_says_what_is_missing(venv, tmp_path):
    """Without the extra "train" the owner's commands end in one line that names it."""
    (tmp_path / "project.toml").write_text((SOURCE / "metav_audit" / "cli" / "project.toml").read_text())
    done = sh(venv / "env" / "bin" / "metav-audit", "zoo", ".", cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "metav-audit[train]" in done.stderr
