"""What strangers wrote reaches the terminal as text alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from metav_audit.cli import main
from metav_audit.cli.echo import echo, echo_json, echo_table
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder, rechain
from tests.servers import ModelServer, always

TRICKS = {
    "erase": "\x1b[2K\x1b[1A\x1b[2K",
    "title": "\x1b]0;all passed\x07",
    "csi": "\x9b2J",
    "bidi": "\u202edessap\u202c",
    "line": "\n99. pass  everything",
    "return": "\rpass",
    "zero width": "a\u200bb",
    "delete": "\x7f\x7f\x08",
}


def harmless(text):
    """Whether a text is printable but for the line breaks of this program."""
    return all(line.isprintable() for line in text.split("\n"))


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


@pytest.mark.parametrize("trick", TRICKS)
def test_a_line_stays_one_line_of_printable_text(capsys, trick):
    """Whatever is in it, on either stream; JSON holds it unharmed."""
    text = f"before{TRICKS[trick]}after"
    echo(text)
    echo(text, err=True)
    shown = capsys.readouterr()
    for stream in (shown.out, shown.err):
        assert stream.count("\n") == 1
        assert harmless(stream)
        assert stream.startswith("before")
    echo_json({"said": text}, indent=1)
    shown = capsys.readouterr().out
    assert harmless(shown)
    assert json.loads(shown) == {"said": text}


def test_a_table_keeps_its_own_breaks(capsys):
    """And those alone."""
    echo_table("a\x1b[2K\nb\n")
    assert capsys.readouterr().out == "a\\x1b[2K\nb\n"


@pytest.mark.parametrize("trick", TRICKS)
def test_a_folder_s_fields_hide_no_step_of_verify(tmp_path, capsys, trick):
    """An operator's and an endpoint's name, an adapter's, a method's: every FAIL line is seen."""
    folder = make_folder(tmp_path / "audit", linear_model(make_task(), 0))

    def trickster(records):
        records[0]["operator"]["name"] = TRICKS[trick]
        records[0]["endpoint"]["adapter"] = TRICKS[trick]

    rechain(folder / "transcript.jsonl", trickster)
    capsys.readouterr()
    assert run("verify", folder) == 4
    shown = capsys.readouterr().out
    assert harmless(shown)
    *steps, last = shown.splitlines()
    assert [line.split(".")[0] for line in steps] == [str(number) for number in range(1, 24)]
    assert last.startswith("NOT AUTHENTICATED")
    assert AuditFolder(folder).transcript().operator["name"] == TRICKS[trick]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_server_s_words_and_a_file_s_name_are_shown_as_text(tmp_path, capsys, trick):
    """In the one line that an error is."""
    make_bundle(queries=4).save(tmp_path / "bundle")
    with ModelServer(None, fault=always(422, json.dumps({"detail": TRICKS[trick]}).encode())) as server:
        text = f'[endpoints.a]\nadapter = "open-inference-v2"\nurl = "{server.url}"\nmodel = "m"\n'
        (tmp_path / "endpoints.toml").write_text(text)
        assert run("audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "out") == 4
    assert run("verify", tmp_path / TRICKS[trick]) == 2
    shown = capsys.readouterr().err
    assert harmless(shown)
    assert shown.count("\n") == 2


def test_every_command_prints_through_echo():
    """No module of the command line but one prints by itself; to flush is to print nothing."""
    commands = Path(main.__code__.co_filename).parent.glob("*.py")
    assert not [
        path.name
        for path in commands
        if path.name != "echo.py" and re.search(r"click\.s?echo\((?!nl=False\))|print\(", path.read_text())
    ]
