"""``metav-audit report`` and ``metav-audit verify``: what is printed where, and the exit codes."""

from __future__ import annotations

import json

import pytest

from metav_audit.cli import main
from metav_audit.evidence import write_sums
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_task
from tests.folders import make_folder
from tests.verify.test_steps import drawn_by_another


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path, linear_model(make_task(), 0))


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def test_report_prints_the_paths_it_wrote(folder, capsys):
    """All four reports are written, and their paths go to stdout."""
    assert run("report", folder) == 0
    paths = [str(folder / f"report.{name}") for name in ("json", "csv", "html", "pdf")]
    assert capsys.readouterr().out.split() == paths


def test_report_writes_one_format_alone(folder):
    """--format writes that one file."""
    assert run("report", folder, "--format", "csv") == 0
    assert not (folder / "report.pdf").exists()


def test_report_of_a_folder_of_audits_writes_their_summary(tmp_path, capsys):
    """The folder that audits lie in gets a summary, and each audit keeps its reports."""
    for name, seed in (("a", 0), ("b", 9)):
        make_folder(tmp_path / name, linear_model(make_task(), seed, distance=3.0), endpoint={"name": name})
    assert run("report", tmp_path) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"summary.{name}") for name in ("csv", "html", "pdf")]
    assert run("report", tmp_path, "--format", "json") == 2
    assert not (tmp_path / "a" / "report.json").exists()


def test_report_sets_on_the_paper_that_is_asked_for(folder, capsys):
    """--paper letter, and verify knows the PDF for what the same programs make of it."""
    run("report", folder)
    assert run("report", folder, "--format", "pdf", "--paper", "letter") == 0
    capsys.readouterr()
    assert run("verify", folder) == 6
    assert "report.pdf is the same: all " in capsys.readouterr().out


def test_verify_numbers_its_steps_and_says_at_last_whose_word_it_is(folder, capsys):
    """A good folder that nobody signed: a line a step, none failing, exit code 6."""
    run("report", folder)
    capsys.readouterr()
    assert run("verify", folder) == 6
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"{number}." for number in range(1, len(lines) + 1)]
    assert {line.split()[1] for line in lines} == {"pass", "none"}
    assert len(lines) >= 20
    assert last.startswith("NOT AUTHENTICATED: it may be anyone's. Name whom you know")


def test_verify_exits_3_where_a_step_compared_nothing(folder, capsys):
    """Figures that another program drew in another way: nothing fails, and nothing passes for it."""
    run("report", folder)
    path = folder / "report.html"
    path.write_text(drawn_by_another(path.read_text(), lambda svg: svg.replace(b"</svg>", b'<path d="M 1 1"/></svg>')))
    write_sums(AuditFolder(folder))
    capsys.readouterr()
    assert run("verify", folder) == 3
    assert "NOT CHECKED  report.html says the same" in capsys.readouterr().out


def test_the_old_option_says_what_took_its_place(folder, capsys):
    """--signer accepted neither key of a folder that had two."""
    assert run("verify", folder, "--signer", "0" * 64) == 2
    assert "--auditor" in capsys.readouterr().err


def test_verify_exits_4_and_says_why_in_json(folder, capsys):
    """A failed step: exit code 4, and the JSON tells which."""
    run("report", folder)
    capsys.readouterr()
    (folder / "verdict.json").write_text("{}")
    write_sums(AuditFolder(folder))
    assert run("verify", folder, "--format", "json") == 4
    fields = json.loads(capsys.readouterr().out)
    assert not fields["passed"]
    assert next(step["name"] for step in fields["steps"] if not step["passed"]) == "verdict.json says the same"


@pytest.mark.parametrize("command", ["report", "verify"])
def test_a_folder_of_another_kind_is_a_usage_error(tmp_path, capsys, command):
    """A folder that is no audit's: one line on stderr, exit code 2."""
    assert run(command, tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1
