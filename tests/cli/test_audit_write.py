"""``metav-audit audit --write``: files for other programs, whatever the exit code; mistakes are told beforehand."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from metav_audit.cli import main
from tests.audit.test_cli import BUNDLE, FAR, TARGET, table
from tests.servers import ModelServer, always


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run ``metav-audit audit`` in a folder of its own; return exit code, stdout and stderr."""
    BUNDLE.save(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)

    def call(text, *options):
        (tmp_path / "endpoints.toml").write_text(text)
        with pytest.raises(SystemExit) as exit_:
            main(["audit", "bundle", "endpoints.toml", "-o", "out", *options])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return exit_.value.code or 0, shown.out, shown.err

    return call


def results(path):
    (only,) = json.loads(path.read_text())["runs"]
    return [
        (each["ruleId"], each["locations"][0]["physicalLocation"]["region"]["startLine"]) for each in only["results"]
    ]


def test_every_format_is_written_beside_what_is_printed(run, tmp_path):
    """A match: code and lines are what they are without --write, and each result points at its table."""
    with ModelServer(TARGET) as near, ModelServer(FAR) as far:
        text = "# suspects\n" + table("far", far.url) + table("near", near.url)
        first = run(text)
        again = run(text, "--write", "ci/a.sarif", "--write", "ci/a.junit.xml", "--write", "ci/a.prom")
    assert again[:2] == first[:2]
    assert again[0] == 1
    assert results(tmp_path / "ci" / "a.sarif") == [("derived", text[: text.index("[endpoints.near]")].count("\n") + 1)]
    cases = ElementTree.parse(tmp_path / "ci" / "a.junit.xml").iter("testcase")
    assert [(case.get("name"), case.find("failure") is not None) for case in cases] == [("far", False), ("near", True)]
    assert 'outcome{endpoint="near",bundle="toy",outcome="match"} 1\n' in (tmp_path / "ci" / "a.prom").read_text()


@pytest.mark.parametrize(("others", "code"), [(1, 5), (0, 4)])
def test_files_are_written_where_endpoints_failed(run, tmp_path, others, code):
    """Exit codes 4 and 5: what could not be asked is an error, and no pass."""
    with ModelServer(FAR) as far, ModelServer(TARGET, fault=always(401)) as closed:
        text = table("closed", closed.url) + table("a", far.url) * others
        assert run(text, "--write", "a.sarif", "--write", "a.xml")[0] == code
    assert results(tmp_path / "a.sarif") == [("not-comparable", 1)]
    only = json.loads((tmp_path / "a.sarif").read_text())["runs"][0]
    assert only["invocations"][0]["exitCode"] == code
    (error,) = ElementTree.parse(tmp_path / "a.xml").iter("error")
    assert "401" in error.get("message")


def test_a_control_that_fails_clears_nobody(run, tmp_path):
    """Exit code 4: the suspect's no match is an error in the file."""
    with ModelServer(FAR) as own, ModelServer(FAR) as suspect:
        text = table("suspect", suspect.url) + table("own", own.url)
        assert run(text, "--control", "own", "--write", "a.sarif", "--write", "a.xml")[0] == 4
    assert {rule for rule, _ in results(tmp_path / "a.sarif")} == {"not-comparable"}
    assert len(list(ElementTree.parse(tmp_path / "a.xml").iter("error"))) == 2


@pytest.mark.parametrize("name", ["a.json", "a", "endpoints.toml/a.prom", "bundle"])
def test_a_file_that_cannot_be_written_is_one_line_and_2_before_anything_is_sent(run, name):
    """Whether for its ending or for its place."""
    with ModelServer(FAR) as server:
        code, out, err = run(table("a", server.url), "--write", "a.sarif", "--write", name)
    assert (code, out, err.count("\n"), server.log) == (2, "", 1, [])


def test_a_folder_that_goes_away_meanwhile_hides_no_match(run, tmp_path, monkeypatch):
    """A match stays 1; no match is 2, for the file is missing that somebody waits for."""
    monkeypatch.setattr("metav_audit.report.outputs.check_outputs", lambda _: None)
    (tmp_path / "file").write_text("")
    for model, code in ((TARGET, 1), (FAR, 2)):
        with ModelServer(model) as server:
            got, out, err = run(table("a", server.url), "--new-run", "--write", "file/a.prom", "--write", "b.prom")
        assert (got, out.count("\n"), err.count("\n")) == (code, 1, 1)
        assert (tmp_path / "b.prom").exists()


def test_a_dry_run_writes_nothing(run, tmp_path):
    """There is no run to tell of."""
    with ModelServer(FAR) as server:
        assert run(table("a", server.url), "--dry-run", "--write", "a.prom")[0] == 0
    assert not (tmp_path / "a.prom").exists()


def test_no_secret_stands_in_any_file(run, tmp_path, monkeypatch):
    """Where the endpoint echoes it, either."""
    monkeypatch.setenv("SUSPECT_TOKEN", "hunter2-hunter2")
    echo = always(401, b'{"error": "bad token hunter2-hunter2"}')
    text = '[endpoints.a.headers]\nAuthorization = "Bearer ${SUSPECT_TOKEN}"\n'
    with ModelServer(FAR, fault=echo) as server:
        files = [f"a.{ending}" for ending in ("sarif", "xml", "prom")]
        options = [word for name in files for word in ("--write", name)]
        assert run(table("a", server.url) + text, "--secret", "SUSPECT_TOKEN", *options)[0] == 4
    assert not [name for name in files if "hunter2" in (tmp_path / name).read_text()]
