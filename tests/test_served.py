"""Served randomness from end to end: a log sealed, a plan drawn, a suspect asked over HTTP, reported, verified."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from typing import NamedTuple

import pytest

from metav_audit.bundle import ServedPlan
from metav_audit.cli import main
from metav_audit.evidence import write_sums
from metav_audit.evidence.keys import PASSPHRASE
from metav_audit.verdict import AuditFolder
from tests.authority import Authority
from tests.independent import run_drawn
from tests.language import Pairs, owner, serve, world
from tests.servers import ModelServer

THIEF, OTHER = "acme", "zenith"
DRAW = "5e" * 32
PROMPTS = [" ".join(text.split()[:3]) for text in dict.fromkeys(world(1, 400)) if len(text.split()) > 3]
PROMPTS = list(dict.fromkeys(PROMPTS))[:160]
PROGRAM = "tests.language:owner"


class Heist(NamedTuple):
    """An owner's desk after a theft: files, and what two accounts were served for the same prompts."""

    desk: Path
    authority: Authority
    served: dict[str, list[str]]


def call(*words: object) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def heist(tmp_path_factory):
    """Everything up to the sealed log, by the commands that an owner would use."""
    desk = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch, Authority(desk / "tsa") as authority:
        patch.setenv(PASSPHRASE, "correct horse battery")
        assert call("keygen", desk / "owner.pem") == 0
        served = {account: serve(owner(), PROMPTS, seed) for seed, account in enumerate((THIEF, OTHER))}
        with (desk / "day.jsonl").open("w") as log:
            for account, answers in served.items():
                for number, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
                    row = {"time": "2026-03-01T10:00:00Z", "account": account, "input": prompt, "answer": answer}
                    version = "pairs-0" if number % 11 == 0 else "pairs-1"
                    log.write(json.dumps(row | {"model": version, "sampler": "plain", "temperature": 1}) + "\n")
        stamped = ("--key", desk / "owner.pem", "--tsa", authority.url, "--tsa-cert", authority.root)
        assert call("log", "seal", desk / "day.jsonl", "-o", desk / "log", "--texts", *stamped) == 0
        yield Heist(desk, authority, served)


def planned(heist: Heist, shows: str) -> Path:
    """Plan for what a suspect shows; once."""
    path = heist.desk / f"{shows}.json"
    if not path.exists():
        words = ("--draw", DRAW, "--shows", shows, "--prompts", "140", "-o", path)
        assert call("served", "plan", heist.desk / "log", PROGRAM, *words) == 0
    return path


def audit(heist: Heist, model: Pairs, name: str, shows: str = "log-probabilities", **fields) -> tuple[int, Path]:
    """Serve a suspect and audit it; return the exit code and its folder."""
    odd = fields.get("adapter") == "json-template"
    with ModelServer(model, "odd-texts" if odd else "openai-completions") as server:
        usual = {} if odd else {"adapter": "openai-logprobs", "model": "m"}
        told = {**usual, "url": server.url, "samples": 8, **fields}
        if shows != "text":
            del told["samples"]
        lines = [
            '[operator]\nname = "B."\nauthority = "a letter"\nsuspect_known_since = 2026-11-15',
            f"[endpoints.{name}]",
            *(f"{field} = {inline(value)}" for field, value in told.items()),
        ]
        (heist.desk / f"{name}.toml").write_text("\n".join(lines))
        out = heist.desk / "out" / shows
        code = call("served", "audit", planned(heist, shows), heist.desk / f"{name}.toml", "-o", out)
    return code, out / name


def inline(value: object) -> str:
    """Write a value as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {inline(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)


def learned(heist: Heist, account: str = THIEF) -> Pairs:
    """A thief's model: what the account was served, and nothing else."""
    return Pairs(prompt + answer for prompt, answer in zip(PROMPTS, heist.served[account], strict=True))


@pytest.fixture(scope="module")
def found(heist):
    """The audit of the thief by log-probabilities."""
    return audit(heist, learned(heist), "thief")


def verified(heist: Heist, folder: Path, capsys) -> tuple[int, str]:
    told = ("--log", heist.desk / "log", "--tsa-cert", heist.authority.root, "--signer", heist.desk / "owner.pem.pub")
    code = call("served", "verify", folder, *told)
    return code, capsys.readouterr().out


def test_a_thief_is_found_and_its_account_named(found):
    """One account's answers trained it; the other's, to the same prompts, did not."""
    code, folder = found
    verdict = json.loads((folder / "served.json").read_text())
    assert code == 1
    assert verdict["accounts"] == [THIEF]
    assert verdict["findings"][0]["p_value"] <= 1e-3


def test_rows_of_another_version_are_left_out_and_counted(heist):
    """Every eleventh was served by the version before."""
    plan = ServedPlan.load(planned(heist, "log-probabilities"))
    assert plan.left_out["another version of the model served"] > 10
    assert plan.model == "pairs-1"


@pytest.mark.parametrize(("shows", "fields"), [
    ("tokens", {"top_logprobs": 20}), ("tokens", {"api": "chat"}), ("text", {}), ("text", {"api": "chat"}),
])  # fmt: skip
def test_whatever_an_api_shows_its_thief_is_nearest(heist, shows, fields):
    """Next tokens, or texts alone, of completions and of chats: the thief's account has the smaller p-value."""
    _, folder = audit(heist, learned(heist), f"thief-{fields.get('api', 'completions')}-x", shows, **fields)
    findings = {one["account"]: one for one in json.loads((folder / "served.json").read_text())["findings"]}
    assert findings[THIEF]["p_value"] < 0.05
    assert findings[THIEF]["p_value"] < findings[OTHER]["p_value"]


@pytest.mark.soak
def test_an_api_of_no_known_protocol_is_asked_for_texts_too(heist, capsys):
    """By a template and a path; what it said is decoded again offline."""
    fields = {"adapter": "json-template", "answer": "data.reply"}
    body = {"question": "{{prompt}}", "options": {"seed": "{{sample}}"}}
    _, folder = audit(heist, learned(heist), "odd", "text", body=body, **fields)
    findings = {one["account"]: one["p_value"] for one in json.loads((folder / "served.json").read_text())["findings"]}
    assert findings[THIEF] < 0.05 < findings[OTHER]
    code, shown = verified(heist, folder, capsys)
    assert code == 0, shown


@pytest.mark.parametrize(("name", "suspect"), [("copy", owner), ("world", lambda: Pairs(world(3, 400)))])
def test_innocents_are_no_match(heist, name, suspect):
    """The owner's own model is none, nor is one that knows the same world."""
    code, folder = audit(heist, suspect(), name)
    assert code == 3
    assert "No account's answers" in json.loads((folder / "served.json").read_text())["reasons"][0]


def test_everything_is_verified_offline(heist, found, capsys):
    """The rows in the sealed log, its seal, the requests, and the verdict, the served ones drawn again."""
    code, shown = verified(heist, found[1], capsys)
    assert code == 0, shown
    assert "sealed by" in shown


def test_what_rests_on_the_folder_alone_is_not_authenticated(heist, found, capsys):
    """Every step passes, and it may be anyone's: exit code 6; a signer who signed nothing fails, 4."""
    capsys.readouterr()
    assert call("served", "verify", found[1]) == 6
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT AUTHENTICATED")
    assert call("served", "verify", found[1], "--signer", heist.desk / "owner.pem.pub") == 0
    assert call("served", "verify", found[1], "--signer", "0" * 64) == 4


def test_a_script_that_knows_nothing_of_us_finds_the_same(found):
    """Every hash and figure, the null drawn again."""
    code, shown = run_drawn(found[1])
    assert code == 0, shown
    assert f"match, {THIEF}" in shown


def test_the_report_says_who_and_since_when(found):
    """The page names the account and the age of the log; the PDF is one."""
    page = (found[1] / "served.html").read_text()
    assert f"served to the account {THIEF}" in page
    assert "suspect is known since 2026-11-15" in page
    assert (found[1] / "served.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["served.json", "served-plan.json", "transcript.jsonl", "bodies.pack"])
def test_what_was_altered_afterwards_is_noticed(heist, found, tmp_path, capsys, name):
    """Each file of the evidence, with one byte changed and its hash written anew, still fails a step."""
    folder = Path(copytree(found[1], tmp_path / "copy"))
    content = bytearray((folder / name).read_bytes())
    place = content.rindex(b"7")
    content[place : place + 1] = b"8"
    (folder / name).write_bytes(content)
    write_sums(AuditFolder(folder))
    code, shown = verified(heist, folder, capsys)
    assert code == 4, shown
    code, shown = run_drawn(folder)
    assert code == 4, shown


def test_an_answer_that_was_never_served_is_noticed(heist, found, tmp_path, capsys):
    """A plan with another answer in a row of the log, itself consistent."""
    folder = Path(copytree(found[1], tmp_path / "copy"))
    fields = json.loads((folder / "served-plan.json").read_text())
    fields["queries"][0]["answer"] = fields["queries"][0]["continuations"][0] = " never said"
    ServedPlan.from_json(fields).save(folder / "served-plan.json")
    write_sums(AuditFolder(folder))
    code, shown = verified(heist, folder, capsys)
    assert code == 4
    assert "query 0 is not what its row of the log says" in shown


def test_whoever_runs_the_model_draws_the_alternatives_again(heist, tmp_path, capsys):
    """The same ones; and where the owner put others in, that is told."""
    plan = planned(heist, "log-probabilities")
    assert call("served", "redraw", plan, PROGRAM) == 0
    fields = json.loads(plan.read_text())
    fields["queries"][3]["continuations"][1] = " never drawn"
    ServedPlan.from_json(fields).save(tmp_path / "plan.json")
    assert call("served", "redraw", tmp_path / "plan.json", PROGRAM) == 4
    assert "1 of" in capsys.readouterr().out
    assert call("served", "redraw", plan, "tests.language:later") == 2


def test_a_log_of_another_model_accuses_nobody(heist, tmp_path, capsys):
    """Where what was served is not what the model would say, an account is not named."""
    with (tmp_path / "day.jsonl").open("w") as log:
        for prompt, answer in zip(PROMPTS, serve(Pairs(world(0, 400), 1.0), PROMPTS, 5), strict=True):
            row = {"time": "2026-03-01T10:00:00Z", "account": "a", "input": prompt, "answer": answer}
            log.write(json.dumps(row | {"model": "pairs-1", "sampler": "plain", "temperature": 1}) + "\n")
    assert call("log", "seal", tmp_path / "day.jsonl", "-o", tmp_path / "log", "--texts") == 0
    words = ("--draw", DRAW, "-o", tmp_path / "plan.json")
    assert call("served", "plan", tmp_path / "log", PROGRAM, *words) == 0
    with ModelServer(Pairs(world(0, 400), 1.0), "openai-completions") as server:
        (tmp_path / "e.toml").write_text(f'[endpoints.e]\nadapter="openai-logprobs"\nurl="{server.url}"\nmodel="m"\n')
        assert call("served", "audit", tmp_path / "plan.json", tmp_path / "e.toml", "-o", tmp_path / "out") == 3
    assert "nothing follows" in json.loads((tmp_path / "out" / "e" / "served.json").read_text())["reasons"][0]


def drilled(heist, capsys, known: str) -> tuple[int, dict[str, list[int]]]:
    words = (heist.desk / "log", PROGRAM, "tests.language:stranger", "--rounds", 1, "--prompts", 60)
    code = call("served", "drill", *words, "--known-since", known, "--format", "json")
    rows = json.loads(capsys.readouterr().out)["rows"]
    return code, {row["kind"]: [row["accuses"], *row["by_check"].values()] for row in rows}


def test_whatever_a_dishonest_owner_makes_of_a_log_is_exposed(heist, capsys):
    """By fit, seal, draw or redraw; the true log, sealed before the innocent was known, passes."""
    code, rows = drilled(heist, capsys, "2999-01-01")
    assert code == 0
    assert rows["texts of the suspect's"] == [1, 1, 1, 0, 0]
    assert rows["texts chosen for it"] == [1, 0, 1, 0, 0]
    assert rows["alternatives picked"] == [1, 1, 0, 0, 1]
    assert rows["alternatives elsewhere"][1:] == [1, 0, 0, 1]
    assert rows["prompts picked"] == [1, 0, 0, 1, 0]
    assert rows["honest"] == [0, 0, 0, 0, 0]


@pytest.mark.soak
def test_without_an_older_seal_a_true_log_looks_like_one_that_was_made_up(heist, capsys):
    """So the drill says that it could be."""
    code, rows = drilled(heist, capsys, "2000-01-01")
    assert (code, rows["honest"]) == (4, [0, 0, 1, 0, 0])


def test_the_owner_sees_what_leaves_the_house(heist, capsys):
    """A line a prompt, with the answer served."""
    assert call("served", "asked", planned(heist, "log-probabilities")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "query,account,at,prompt,answer"
    assert len(lines) == 1 + len(ServedPlan.load(planned(heist, "log-probabilities")).queries)


def test_the_same_command_asks_nothing_again(heist, found, capsys):
    """A finished audit is decided from its folder, with the server gone."""
    plan, out = planned(heist, "log-probabilities"), heist.desk / "out" / "log-probabilities"
    assert call("served", "audit", plan, heist.desk / "thief.toml", "-o", out) == 1
    assert "finished earlier" in capsys.readouterr().err
