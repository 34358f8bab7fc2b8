"""Whatever goes wrong, and wherever, ends in one line and an exit code that is no verdict's."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metav_audit.cli import adapters, main
from tests.audit.test_cli import BUNDLE, TARGET, table
from tests.builders import linear_model, make_task
from tests.servers import ModelServer, always

FAR = linear_model(make_task(), 9, distance=3.0)


def raising(error):
    def fail():
        raise error

    return fail


@pytest.fixture
def ended(monkeypatch, capsys, tmp_path):
    """Let a command do something; return its exit code and its only line on stderr."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def call(does):
        monkeypatch.setattr(adapters.command, "callback", does)
        monkeypatch.setattr(adapters.command, "params", [])
        with pytest.raises(SystemExit) as end:
            main(["adapters"])
        (line,) = capsys.readouterr().err.splitlines()
        return end.value.code, line

    return call


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        KeyError("name"),
        RecursionError(),
        OSError(5, "Input/output error"),
        ModuleNotFoundError("no such thing", name="thing"),
        SystemExit(0),
        SystemExit(1),
        SystemExit("text"),
        GeneratorExit(),
    ],
    ids=repr,
)
def test_a_fault_is_no_verdict(ended, error):
    """One line with a kind and a file, which has the traceback; code 70."""
    code, line = ended(raising(error))
    assert code == 70
    assert type(error).__name__ in line
    content = Path(line.rpartition(" ")[2]).read_text()
    assert "Traceback" in content
    assert "in fail" in content


def test_a_tracebacks_file_has_no_secret(ended, monkeypatch):
    """Whatever stands in the environment is taken out, and only its owner may read the file."""
    monkeypatch.setenv("SUSPECT_TOKEN", "sk-very-secret-indeed")
    _, line = ended(raising(ValueError("refused with sk-very-secret-indeed")))
    path = Path(line.rpartition(" ")[2])
    assert "sk-very-secret-indeed" not in path.read_text() + line
    assert path.stat().st_mode & 0o077 == 0


SHOWN = {
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "within base64": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "its beginning": lambda secret: f"{secret[:12]}...",
    "its end": lambda secret: f"'...{secret[-10:]}'",
    "in percent signs": lambda secret: "".join(f"%{ord(letter):02X}" for letter in secret),
}


@pytest.mark.parametrize("how", SHOWN)
def test_a_tracebacks_file_has_no_secret_in_another_spelling(ended, monkeypatch, how):
    """Encoded or shortened, it is taken out; the rest of the traceback stays."""
    secret = "sk-very+secret/indeed-41"
    monkeypatch.setenv("SUSPECT_TOKEN", secret)
    shown = SHOWN[how](secret)
    _, line = ended(raising(ValueError(f"refused with {shown} here")))
    content = Path(line.rpartition(" ")[2]).read_text()
    assert shown.strip(".'") not in content
    assert "in fail" in content
    assert "raise error" in content


def test_a_traceback_that_cannot_be_written_is_still_a_fault(ended, monkeypatch):
    """Where the folder of temporary files is gone."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    code, line = ended(raising(ValueError("a bug")))
    assert code == 70
    assert "could not be written" in line


def test_too_little_memory_is_said(ended):
    """In a line of its own: whoever sent the files may be the reason."""
    code, line = ended(raising(MemoryError()))
    assert code == 4
    assert "not enough memory" in line


@pytest.fixture
def audit(tmp_path):
    """Run an audit of a model that does not match as a process of its own; return what came of it."""
    BUNDLE.save(tmp_path / "bundle")

    def call(text, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
        (tmp_path / "endpoints.toml").write_text(text)
        words = ["audit", "bundle", "endpoints.toml", "-o", "out", *options]
        path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        return subprocess.run(
            [sys.executable, "-m", "metav_audit", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=stdout,
            stderr=stderr,
            text=True,
            check=False,
        )

    return call


def test_a_full_disk_behind_stdout_is_no_verdict(audit):
    """The verdict stands in its folder; the line that could not be printed has a code of its own."""
    with ModelServer(FAR) as server, Path("/dev/full").open("w") as full:
        done = audit(table("a", server.url), stdout=full)
    assert done.returncode == 74
    assert done.stderr.splitlines() == [
        "metav-audit: cannot write to stdout (No space left on device): what was finished stands in its folder"
    ]


def test_a_reader_that_has_left_is_no_verdict(audit):
    """A pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with ModelServer(FAR) as server:
        done = audit(table("a", server.url), stdout=writer)
    os.close(writer)
    assert done.returncode == 74
    assert "cannot write to stdout (its reader has left)" in done.stderr


def test_a_full_disk_behind_stderr_is_no_verdict(audit, tmp_path):
    """Nothing can be said, and still the code says it."""
    with ModelServer(TARGET, fault=always(401)) as server, Path("/dev/full").open("w") as full:
        assert audit(table("a", server.url), stderr=full).returncode == 74


@pytest.mark.parametrize("where", ["import", "call"])
@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("way", ["sys.exit", "os._exit"])
def test_a_users_module_that_ends_python_ends_its_endpoint_alone(audit, tmp_path, where, way, code):
    """An exit in a Python function or in its module is its own failure, and no end of the program."""
    ends = f"import sys, os\nprint('hello')\n{way}({code})\n"
    inside = f"def model(inputs):\n    import sys, os\n    {way}({code})\n"
    (tmp_path / "rude.py").write_text(ends if where == "import" else inside)
    done = audit('[endpoints.a]\nadapter = "python-callable"\nurl = "python:rude:model"\n', "--allow-python")
    assert (done.returncode, done.stdout) == (4, "")
    assert {"sys.exit": "SystemExit", "os._exit": f"exit status {code}"}[way] in done.stderr


@pytest.mark.parametrize("content", [None, ""], ids=["missing", "empty"])
def test_roots_that_cannot_be_read_matter_to_tls_alone(audit, tmp_path, content):
    """Plain HTTP is asked all the same; an address with TLS is refused with the variable's name."""
    roots = tmp_path / "roots.pem"
    if content is not None:
        roots.write_text(content)
    with ModelServer(TARGET) as server:
        assert audit(table("a", server.url), SSL_CERT_FILE=str(roots)).returncode == 1
    done = audit(table("b", "https://127.0.0.1:1/v2/models/m/infer"), SSL_CERT_FILE=str(roots))
    assert done.returncode == 2
    assert "SSL_CERT_FILE" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("closed", "code"), [(">&-", 74), ("2>&-", 0), (">&- 2>&-", 74)])
def test_what_is_closed_is_no_crash_and_no_verdict(tmp_path, closed, code):
    """Without stdout nothing begins, exit code 74; without stderr, as under daemons, the work is done."""
    line = f'"{sys.executable}" -m metav_audit adapters {closed}'
    run = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == code, run.stderr
    assert b"Traceback" not in run.stdout + run.stderr


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """What others write to descriptor 2 would stand in it."""
    told = "from metav_audit.cli.ending import check_outputs; check_outputs(); print(open('x', 'w').fileno())"
    line = f'"{sys.executable}" -W ignore -c "{told}" 2>&-'
    run = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert int(run.stdout) > 2
