"""``metav-audit log seal`` and ``log check``: an export becomes evidence, signed and time-stamped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metav_audit.cli import main
from metav_audit.cli.fit import requests_of
from metav_audit.config import PASSPHRASE
from metav_audit.errors import EvidenceError
from metav_audit.evidence import check_log_seals, save_attestation
from metav_audit.evidence.attestation import attest
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.request_log import PREDICATE_TYPE
from metav_audit.transcript.log import open_log
from tests.authority import Authority
from tests.evidence.conftest import signing_key

DRAW = "5e" * 32
PROJECT = """
[task]
labels = ["cat", "dog"]
input = { kind = "image", channels = 1, height = 2, width = 2 }
"""


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "correct horse battery")

    def call(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out, shown.err

    return call


@pytest.fixture
def desk(tmp_path, run):
    """A folder with a project, a key and the exports of two days."""
    (tmp_path / "project.toml").write_text(PROJECT)
    for day in (1, 2):
        rows = [
            {"at": f"2026-11-0{day}T08:00:0{n}Z", "user": "acme", "input": [0, 0, 0, n / 9], "out": "cat"}
            for n in range(5)
        ]
        text = "".join(json.dumps(row) + "\n" for row in [*rows, {"at": "now"}])
        (tmp_path / f"{day}.jsonl").write_text(text)
    run("keygen", tmp_path / "owner.pem")
    return tmp_path


def seal(run, desk: Path, day: int, *more: object):
    columns = ("--project", desk / "project.toml", "--time", "at", "--account", "user", "--answer", "out")
    return run("log", "seal", desk / f"{day}.jsonl", "-o", desk / "log", *columns, *more)


def test_two_days_sealed_signed_and_stamped(run, desk):
    """Each seal covers the days until then; check says so line by line, and an altered row is exit code 4."""
    with Authority(desk / "tsa") as authority:
        signing = ("--key", desk / "owner.pem", "--tsa", authority.url, "--tsa-cert", authority.root)
        for day in (1, 2):
            code, out, err = seal(run, desk, day, *signing)
            assert (code, out) == (
                0,
                f"{desk / 'log'}  {day} days, {5 * day} rows, head {open_log(desk / 'log').head}\n",
            )
            assert "5 rows added, 1 records left out" in err
            assert "signed and time-stamped" in err
        code, out, _ = run("log", "check", desk / "log", "--signer", desk / "owner.pem.pub", "--roots", authority.root)
    assert code == 0
    assert "it seals 1 days with 5 rows, 2026-11-01 to 2026-11-01" in out
    assert "it seals 2 days with 10 rows, 2026-11-01 to 2026-11-02" in out
    assert [seal.through for seal in check_log_seals(open_log(desk / "log"))] == ["2026-11-01", "2026-11-02"]
    rows = desk / "log" / "days" / "2026-11-01.jsonl"
    rows.write_text(rows.read_text().replace("acme", "none"))
    code, _, err = run("log", "check", desk / "log")
    assert code == 4
    assert "the rows of 2026-11-01 are not those that were sealed" in err


TAKING = {
    "served plan": lambda log: ("served", "plan", log, "tests.language:owner", "--draw", DRAW, "-o", log / "plan"),
    "served drill": lambda log: ("served", "drill", log, "tests.language:owner", "tests.language:stranger"),
    "log check": lambda log: ("log", "check", log),
}


@pytest.mark.parametrize("taking", TAKING)
@pytest.mark.parametrize("name", ["days/2026-11-01.jsonl", "seals/000001.json"])
def test_nothing_is_taken_from_a_log_that_was_falsified(run, desk, taking, name):
    """A row's account or a seal altered afterwards is exit code 4 wherever the log is used, as log check says."""
    seal(run, desk, 1, "--key", desk / "owner.pem")
    file = desk / "log" / name
    file.write_text(file.read_text().replace("acme", "none").replace('"payload": "e', '"payload": "f'))
    assert run(*TAKING[taking](desk / "log"))[0] == 4
    with pytest.raises(EvidenceError):
        requests_of(desk / "log", DRAW, ())


SAID = {"time": "2026-11-01T08:00:00Z", "account": "acme", "model": "pairs-1", "sampler": "plain", "temperature": 1}


def seal_texts(run, desk: Path, *more: object) -> Path:
    """Seal 110 prompts and their answers."""
    rows = [json.dumps({**SAID, "input": f"say {number}", "answer": " a b"}) + "\n" for number in range(110)]
    (desk / "texts.jsonl").write_text("".join(rows))
    assert run("log", "seal", desk / "texts.jsonl", "-o", desk / "said", "--texts", *more)[0] == 0
    return desk / "said"


def three() -> int:
    return 3


class Unsure:
    """A model that says how likely a text is in words."""

    version = "pairs-1"

    def draw(self, asks):
        return [f" {ask.seed}" for ask in asks]

    def split(self, prompt, answer):
        return [answer]

    def score(self, asks, texts):
        return ["likely"] * len(texts)


class Nameless(Unsure):
    """It has no version."""

    version = None


PROGRAMS = {
    "three": "returns no model as it was served but int, without draw and score and split and version",
    "Nameless": "but Nameless, without version, which is a text",
    "Unsure": "score of the program Unsure returns no finite number for each text",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_is_no_model_is_said_to_be_none(run, desk, program):
    """In one line, and it is the owner's to mend: exit code 2."""
    log, name = seal_texts(run, desk), f"tests.cli.test_log:{program}"
    code, _, err = run("served", "plan", log, name, "--draw", DRAW, "-o", desk / "plan.json")
    assert (code, PROGRAMS[program] in err) == (2, True), err


def test_a_drill_needs_a_log_of_texts_with_a_time_stamp(run, desk):
    """It says what is missing before a model is opened: there is none here."""
    seal(run, desk, 1)
    drill = ("nowhere:model", "nowhere:model")
    code, _, err = run("served", "drill", desk / "log", *drill)
    assert (code, "is no log of texts" in err) == (2, True)
    code, _, err = run("served", "drill", seal_texts(run, desk), *drill)
    assert (code, "has no seal" in err) == (2, True)
    (desk / "said").rename(desk / "unsigned")
    code, _, err = run("served", "drill", seal_texts(run, desk, "--key", desk / "owner.pem"), *drill)
    assert (code, "has no time stamp" in err) == (2, True)


def test_how_the_rows_were_read_is_under_the_seal(run, desk):
    """Another form of scores in log.json fails; a seal that states nothing of it, as older ones, still holds."""
    seal(run, desk, 1, "--key", desk / "owner.pem")
    header = desk / "log" / "log.json"
    header.write_text(header.read_text().replace('"scores": "probability"', '"scores": "logit"'))
    code, out, _ = run("log", "check", desk / "log")
    assert (code, "FAILED  000001.json, statement: it seals a log.json" in out) == (4, True)
    older = attest(Statement("request log", open_log(desk / "log").head, PREDICATE_TYPE, {}), signing_key(1), None)
    save_attestation(older, desk / "log" / "seals" / "000002.json")
    (desk / "log" / "seals" / "000001.json").unlink()
    assert run("log", "check", desk / "log")[0] == 0


def test_a_seal_of_another_log_fails(run, desk):
    """Its head is no link of this chain."""
    seal(run, desk, 1, "--key", desk / "owner.pem")
    (desk / "log").rename(desk / "other")
    seal(run, desk, 2, "--key", desk / "owner.pem")
    (desk / "other" / "seals" / "000001.json").rename(desk / "log" / "seals" / "000009.json")
    code, out, _ = run("log", "check", desk / "log")
    assert code == 4
    assert "FAILED  000009.json, statement: it seals the head" in out


def test_what_is_sealed_as_it_stands_is_not_signed_twice(run, desk):
    """The same command again has nothing new; nothing is left out twice, and a seal is never overwritten."""
    kept = []
    for _ in range(3):
        code, _, err = seal(run, desk, 1, "--key", desk / "owner.pem")
        assert code == 0
        kept.append([(desk / "log" / name).read_bytes() for name in ("seals/000001.json", "broken.jsonl")])
    assert "nothing new: the log is signed as it stands" in err
    assert kept[0][0] == kept[1][0] == kept[2][0]
    assert kept[1] == kept[2]
    assert len(list((desk / "log" / "seals").iterdir())) == 1
    with Authority(desk / "tsa") as authority:
        stamp = ("--tsa", authority.url, "--tsa-cert", authority.root)
        code, _, err = seal(run, desk, 1, "--key", desk / "owner.pem", *stamp)
    assert (code, "000001.json exists" in err) == (2, True)


def test_an_export_of_which_nothing_fits_is_no_log(run, desk):
    """The commonest reason is told, and what the records have instead: exit code 4."""
    task = ("--project", desk / "project.toml")
    code, _, err = run("log", "seal", desk / "1.jsonl", "-o", desk / "log", *task)
    told = "6 of 6 records left out, 6 of them for: no time: the records have the fields at, user, input, out"
    assert (code, told in err) == (4, True), err
    assert seal(run, desk, 1)[0] == 0, "with the right columns the same place will do"
    (desk / "none.jsonl").touch()
    code, _, err = run("log", "seal", desk / "none.jsonl", "-o", desk / "none", *task)
    assert (code, "hold no record" in err) == (4, True), err


def test_a_stamp_needs_a_signature(run, desk):
    """And without a key the warning says what is lost."""
    code, _, err = seal(run, desk, 1, "--tsa", "http://127.0.0.1:9", "--tsa-cert", desk / "no.pem")
    assert (code, "--tsa goes with --key" in err) == (2, True)
    code, _, err = seal(run, desk, 1)
    assert (code, "nothing shows when this log was there" in err) == (0, True)


def test_every_option_has_its_variable(run, desk, monkeypatch):
    """Of commands within commands, too."""
    monkeypatch.setenv("METAV_AUDIT_LOG_SEAL_TIME", "at")
    monkeypatch.setenv("METAV_AUDIT_LOG_SEAL_ACCOUNT", "user")
    monkeypatch.setenv("METAV_AUDIT_LOG_SEAL_ANSWER", "out")
    code, out, _ = run("log", "seal", desk / "1.jsonl", "-o", desk / "log", "--project", desk)
    assert (code, "1 days, 5 rows" in out) == (0, True)


@pytest.mark.parametrize("project", ["nowhere.toml", "1.jsonl"])
def test_a_project_without_a_task_is_refused(run, desk, project):
    """In one line."""
    code, _, err = run("log", "seal", desk / "1.jsonl", "-o", desk / "log", "--project", desk / project)
    assert code == 2
    assert "project file" in err
