"""A supplier signs for blind controls: what is then said, and what does not hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metav_audit.cli import main
from metav_audit.evidence import AttestedStatus, supplier_of
from metav_audit.report import load_report
from metav_audit.report.layout.cover import lay_out_cover
from metav_audit.verdict import AuditFolder
from metav_audit.verify import verify_folder
from tests.audit.test_blind import json_file
from tests.audit.test_cli import BUNDLE, TARGET, table
from tests.evidence.test_independent import script
from tests.folders import close
from tests.servers import ModelServer

STEP = "supplier signs for the blind controls"


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch):
    """A bundle, a supplier's answers and key; ``run`` gives exit code and what was said."""
    monkeypatch.setenv("METAV_AUDIT_KEY_PASSPHRASE", "correct horse battery")
    monkeypatch.chdir(tmp_path)
    BUNDLE.save(tmp_path / "bundle")
    json_file(tmp_path / "answers.json")

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out + shown.err

    run("keygen", "supplier.pem")
    return run


def audited(run, controls="answers.json"):
    with ModelServer(TARGET) as server:
        Path("endpoints.toml").write_text(table("a", server.url))
        code, told = run("audit", "bundle", "endpoints.toml", "-o", "out", "--blind-controls", controls)
        return code, told, len(server.log)


def step_of(folder):
    (step,) = [step for step in verify_folder(folder) if step.name == STEP]
    return step


def test_a_signed_supplier_is_on_the_cover_and_verified(desk):
    """Whose word the controls are, in the report, by ``verify`` and by the script; nothing is asked to sign."""
    code, told = desk("vouch", "answers.json", "--key", "supplier.pem")
    assert (code, "answers.json.signed.json  20 models, signed by the key" in told) == (0, True)
    assert audited(desk)[0] == 1
    folder = AuditFolder(Path("out/a"))
    cover = dict(lay_out_cover(load_report(folder)).glance)
    assert cover["Their supplier"].startswith("The 20 blind controls are independent, says the key")
    assert step_of(folder).status == "pass"
    assert script.check(folder.path).startswith("match")


def test_its_absence_is_said(desk):
    """Then the controls are the word of whoever named them; nothing fails for it."""
    assert audited(desk)[0] == 1
    folder = AuditFolder(Path("out/a"))
    assert "the word of whoever named them" in dict(lay_out_cover(load_report(folder)).glance)["Their supplier"]
    assert step_of(folder).status == "none"
    assert supplier_of(folder, None).status is AttestedStatus.NONE


def test_a_statement_of_other_answers_is_refused_before_anything_is_asked(desk):
    """The file was changed after it was signed, or the statement is no such statement."""
    desk("vouch", "answers.json", "--key", "supplier.pem")
    fields = json.loads(Path("answers.json").read_text())
    fields["models"]["another"] = fields["models"].pop("c3")
    Path("answers.json").write_text(json.dumps(fields))
    code, told, requests = audited(desk)
    assert (code, requests) == (4, 0)
    assert "does not name another" in told
    assert "ask the supplier to sign answers.json again" in told


@pytest.mark.parametrize("change", ["answers", "names", "none", "cut"])
def test_a_folder_whose_statement_does_not_fit_fails(desk, change):
    """Other answers, a control more, no controls at all, a damaged file: on the cover, in ``verify``, by the script."""
    desk("vouch", "answers.json", "--key", "supplier.pem")
    audited(desk)
    folder = AuditFolder(Path("out/a"))
    path, signed = folder / "blind-controls.json", folder / "blind-controls.signed.json"
    fields = json.loads(path.read_bytes())
    if change == "answers":
        fields["models"][0]["source_sha256"] = "0" * 64
    elif change == "names":
        fields["models"][0]["name"] = "another"
    if change in ("answers", "names"):
        path.write_text(json.dumps(fields, sort_keys=True, separators=(",", ":")) + "\n")
    elif change == "none":
        path.unlink()
    else:
        signed.write_bytes(signed.read_bytes()[:-40])
    folder.record(folder.bundle(), folder.transcript())
    close(folder, sealed=False)
    assert supplier_of(folder, None).status is AttestedStatus.INVALID
    assert step_of(folder).status == "FAIL"
    with pytest.raises((script.WrongError, ValueError, FileNotFoundError)):
        script.check(folder.path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.json", None, "cannot read the blind controls"),
        ("wrong.json", "[1]", "it holds no such answers"),
        ("wrong.toml", "[other]", "it lacks"),
        ("wrong.txt", "", "come as"),
        ("empty.json", '{"scores": "probability", "models": {}}', "between 1 and"),
    ],
)
def test_what_is_no_file_of_controls_is_not_signed(desk, tmp_path, name, content, said):
    """One line, exit code 2, no file."""
    if content is not None:
        (tmp_path / name).write_text(content)
    code, told = desk("vouch", name, "--key", "supplier.pem")
    assert (code, said in told) == (2, True), told
    assert not list(tmp_path.glob("*.signed.json"))


def test_an_endpoint_file_is_signed_by_its_names(desk, tmp_path):
    """A supplier may serve the models; a statement is never overwritten."""
    (tmp_path / "controls.toml").write_text(table("c0", "http://127.0.0.1:9") + table("c1", "http://127.0.0.1:9"))
    code, told = desk("vouch", "controls.toml", "--key", "supplier.pem")
    assert (code, "2 models" in told) == (0, True)
    code, told = desk("vouch", "controls.toml", "--key", "supplier.pem")
    assert (code, "never overwritten" in told) == (2, True)
