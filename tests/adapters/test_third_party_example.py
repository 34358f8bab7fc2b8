from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third-party-adapter"
CHECK = """
from metav_audit.adapter.contract import Response
from metav_audit.adapter import check_adapter, find_adapter, installed_adapters
from tests.builders import make_task

def respond(request, scores):
    assert request.headers["Content-Type"] == "text/csv"
    return Response(200, {}, "\\n".join(",".join(map(repr, row)) for row in scores.tolist()).encode())

(found,) = [each for each in installed_adapters() if each.name == "csv-rows"]
assert (found.package, found.problem) == ("metav-audit-csv-adapter", None)
for batch in (1, 3):
    fields = {"url": "http://host", "batch": batch}
    check_adapter(find_adapter("csv-rows"), make_task(), fields, respond=respond)
print("passes")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example, built and installed by pip into a folder of its own, offline."""
    folder = tmp_path_factory.mktemp("third-party")
    source = shutil.copytree(EXAMPLE, folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_a_third_party_s_adapter_is_found_and_passes_the_contract(installed, monkeypatch):
    """Installed beside metav-audit it is found by discovery, and the contract check passes."""
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{Path(__file__).parents[2]}")
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("passes", 0), done.stderr


def test_it_is_short():
    """An adapter of one's own takes under 40 lines."""
    (module,) = EXAMPLE.glob("*.py")
    assert len(module.read_text().splitlines()) < 40
