"""The README's example in Python, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.audit.test_cli import BUNDLE, TARGET, table
from tests.servers import ModelServer, always

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Run the README's one block of Python beside the files that it names; return the lines that it prints."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    BUNDLE.save(tmp_path / "out" / "digits.bundle")
    monkeypatch.chdir(tmp_path)

    def call():
        exec(compile(block, README.name, "exec"), {})
        return capsys.readouterr().out.splitlines()

    return call


def test_the_example_audits_reports_and_verifies(example, tmp_path):
    """One line an endpoint: a verdict that verifies, or why there is none."""
    with ModelServer(TARGET) as ours, ModelServer(TARGET, fault=always(401)) as closed:
        (tmp_path / "out" / "endpoints.toml").write_text(table("ours", ours.url) + table("closed", closed.url))
        lines = example()
    assert re.fullmatch(r"ours match 0\.\d+ True", lines[0])
    assert re.match(r"closed .*401", lines[1])
    assert len(lines) == 2
    assert (tmp_path / "out" / "audits" / "ours" / "report.pdf").exists()


def test_what_is_finished_is_not_asked_again(example, tmp_path):
    """With the server gone the example prints the same, as it does after the demo."""
    with ModelServer(TARGET) as ours:
        (tmp_path / "out" / "endpoints.toml").write_text(table("ours", ours.url))
        first = example()
    assert example() == first
