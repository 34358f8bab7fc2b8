"""Links, pipes and devices among a stranger's files: refused by every command that reads them, and never shown."""

from __future__ import annotations

import shutil
import zipfile

import pytest

from metav_audit.cli import main
from metav_audit.errors import ConfigurationError
from metav_audit.evidence import write_sums
from metav_audit.transcript.log.sealing import Sealing, _keep
from metav_audit.transcript.log.sources import find_sources
from metav_audit.verdict import AuditFolder
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import make_folder
from tests.test_files import lay

INNER = ["bundle/manifest.json", "bundle/tensors.safetensors"]
pytestmark = pytest.mark.timeout(120)
ENDPOINT = '[endpoints.suspect]\nadapter = "open-inference-v2"\nurl = "http://127.0.0.1:9"\nmodel = "m"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("audit") / "suspect", linear_model(make_task(), 0))


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "suspect")


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "environment"])
def test_a_bundle_s_commitment_that_is_none_stops_the_audit(tmp_path, capsys, kind):
    """Neither a private key nor the environment finds its way into an audit's folder."""
    make_bundle().save(tmp_path / "bundle")
    lay(tmp_path / "bundle" / "commitment.json", kind)
    (tmp_path / "endpoints.toml").write_text(ENDPOINT)
    assert run("audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "out") == 4
    assert "commitment.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["link", "fifo"])
@pytest.mark.parametrize("name", ["verdict.json", "transcript.jsonl", "bodies.pack", "seal.json"])
def test_a_folder_with_what_is_no_file_fails_verification(folder, capsys, name, kind):
    """Nothing hangs; the step that reads it fails and names it; it is neither packed nor listed."""
    (folder / name).unlink(missing_ok=True)
    lay(folder / name, kind)
    (folder / "SHA256SUMS").write_bytes(b"")
    assert run("verify", folder) == 4
    shown = capsys.readouterr()
    assert f"{name} is a link or no regular file" in shown.out
    assert "PRIVATE" not in shown.out + shown.err
    assert run("pack", folder) == 2
    assert name in capsys.readouterr().err
    assert not folder.with_name("suspect.zip").exists()


def test_a_bundle_that_is_a_link_is_not_followed(folder, tmp_path, capsys):
    """Of an audit's folder."""
    (folder / "bundle").rename(tmp_path / "elsewhere")
    (folder / "bundle").symlink_to(tmp_path / "elsewhere")
    assert run("verify", folder) == 4
    assert "bundle is a link" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_an_endpoint_file_that_is_none_is_one_line(tmp_path, capsys, kind):
    """A pipe that nobody writes into is not waited for."""
    make_bundle().save(tmp_path / "bundle")
    lay(tmp_path / "endpoints.toml", kind)
    assert run("audit", tmp_path / "bundle", tmp_path / "endpoints.toml") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_an_archive_that_is_none_is_one_line(tmp_path, capsys, kind):
    """``verify`` waits for no pipe."""
    lay(tmp_path / "suspect.zip", kind)
    assert run("verify", tmp_path / "suspect.zip") == 4
    assert capsys.readouterr().err.count("\n") == 1


def test_a_resumed_audit_writes_through_no_link(folder, tmp_path, capsys):
    """A stranger's folder that is audited into: what its links name stays as it was."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    (folder / "bodies.pack").unlink()
    (folder / "bodies.pack").symlink_to(victim)
    (folder / "transcript.jsonl").unlink()
    (tmp_path / "endpoints.toml").write_text(ENDPOINT)
    assert run("audit", folder / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path) == 2
    assert "link" in capsys.readouterr().err
    assert victim.read_bytes() == b""


def test_the_files_of_an_audit_are_an_allow_list(folder, tmp_path, capsys):
    """What else lies in the folder is neither listed nor packed, and ``verify`` names it."""
    for name in (".env", "bundle/notes.txt", "transcript.jsonl~", "bundle/.lock"):
        (folder / name).write_text("SECRET")
    write_sums(AuditFolder(folder))
    names = sorted(line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert names == ["bodies.pack", *INNER, "transcript.jsonl", "verdict.json"]
    assert run("pack", folder) == 0
    assert capsys.readouterr().err.count("left out") == 4
    with zipfile.ZipFile(folder.with_name("suspect.zip")) as archive:
        assert sorted(archive.namelist()) == sorted(["SHA256SUMS", *names])
    assert run("verify", folder) == 4
    assert ".env is no file of an audit" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_log_of_what_is_no_file_is_one_line(tmp_path, capsys, kind):
    """An export that is a pipe or a device is not waited for."""
    path = tmp_path / "export.jsonl"
    lay(path, kind)
    with pytest.raises(ConfigurationError, match="no regular file"):
        find_sources([str(path)])


def test_a_sealing_that_goes_on_writes_through_no_link(tmp_path):
    """Whoever can write beside the log cannot have another file of its owner's cut or written to."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "sealing").mkdir()
    (tmp_path / "sealing" / "2026-11-30.jsonl").symlink_to(victim)
    with pytest.raises(OSError, match="links are not followed"):
        _keep(tmp_path / "sealing", Sealing([], []), {"2026-11-30.jsonl": [b"more\n"]})
    assert victim.read_bytes() == b"precious"
