"""From coins to a match, end to end: a dithered API over HTTP, a thief of it, and an audit by coins."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from torch import nn

from metav_audit import DitherMiddleware, JsonApi, read_dither
from metav_audit.bundle import CoinPlan
from metav_audit.cli import main
from metav_audit.evidence.keys import PASSPHRASE
from metav_audit.serving.model import predictor
from tests import toy
from tests.authority import Authority
from tests.independent import run_drawn
from tests.servers import FIELDS, ModelServer

QUERIES = 200
THIEF, OTHER = "acme", "zenith"


class Heist(NamedTuple):
    """An owner's desk after a theft: files, and what two accounts were served, by name: inputs and scores."""

    desk: Path
    authority: Authority
    served: dict[str, tuple[np.ndarray, np.ndarray]]


def call(*words: object) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


class Running:
    """uvicorn with an application, in a thread, on the loopback."""

    def __init__(self, app) -> None:
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()


def owners_api(dither: Path) -> Starlette:
    """The owner's API as they might write it, behind the middleware."""
    predict = predictor(toy.trained())

    async def classify(request):
        inputs = np.array((await request.json())["inputs"], np.float32)
        return JSONResponse({"scores": predict(inputs).tolist(), "labels": ["?"] * len(inputs)})

    api = JsonApi(paths=["/classify"], account="x-account", input="inputs", label="labels")
    behind = Middleware(DitherMiddleware, dither=read_dither(dither, os.environ), task=toy.TASK, api=api)
    return Starlette(routes=[Route("/classify", classify, methods=["POST"])], middleware=[behind])


@pytest.fixture(scope="module")
def heist(tmp_path_factory):
    """Everything up to the plan, by the commands that an owner would use."""
    desk = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch, Authority(desk / "tsa") as authority:
        patch.setenv(PASSPHRASE, "correct horse battery")
        toy.write_toy(desk / "project")
        stamped = ("--tsa", authority.url, "--tsa-cert", authority.root)
        assert call("keygen", desk / "owner.pem") == 0
        # A key that was drawn would accuse the owner's own copy in one run of twenty, as promised.
        with pytest.MonkeyPatch.context() as drawn:
            drawn.setattr("metav_audit.task.dither_file.secrets.token_bytes", lambda count: bytes(range(count)))
            assert call("dither", "keygen", desk / "coins.json", "--undecided", "1") == 0
        commit = ("--key", desk / "owner.pem", *stamped, "-o", desk / "coins.commitment.json")
        assert call("dither", "commit", desk / "coins.json", *commit) == 0
        inputs = toy.pictures(5, QUERIES)[0].astype(np.float32)
        served = {}
        with Running(owners_api(desk / "coins.json")) as url, (desk / "day.jsonl").open("w") as log:
            for account in (THIEF, OTHER):
                answers = []
                for batch in np.split(inputs, 8):
                    sent = {"inputs": batch.tolist()}
                    answer = httpx.post(f"{url}/classify", json=sent, headers={"X-Account": account}).json()
                    answers.extend(answer["scores"])
                    for one, scores in zip(sent["inputs"], answer["scores"], strict=True):
                        row = {
                            "time": datetime.now(UTC).isoformat(),
                            "account": account,
                            "input": one,
                            "answer": scores,
                        }
                        log.write(json.dumps(row) + "\n")
                served[account] = inputs, np.array(answers)
        sealing = ("-o", desk / "log", "--project", desk / "project", "--key", desk / "owner.pem", *stamped)
        assert call("log", "seal", desk / "day.jsonl", *sealing) == 0
        planning = ("--dither", desk / "coins.json", "--commitment", desk / "coins.commitment.json")
        assert call("dither", "plan", desk / "log", desk / "project", *planning, "-o", desk / "plan.json") == 0
        yield Heist(desk, authority, served)


class Neighbours(nn.Module):
    """A thief's model: the mean of what was served to it, the nearest inputs' above all (Nadaraya and Watson, 1964)."""

    def __init__(self, inputs: np.ndarray, scores: np.ndarray) -> None:
        super().__init__()
        self.inputs, self.scores = torch.from_numpy(inputs).flatten(1), torch.from_numpy(scores.astype(np.float32))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        near = torch.softmax(-20 * torch.cdist(inputs.flatten(1), self.inputs) ** 2, dim=1)
        return (near @ self.scores).log()


def audit(heist: Heist, model: nn.Module, name: str) -> tuple[int, Path]:
    """Serve a suspect and audit it; return the exit code and its folder."""
    with ModelServer(predictor(model)) as server:
        fields = {"adapter": "open-inference-v2", "url": server.url, "batch": 16, **FIELDS["open-inference-v2"]}
        lines = [f"[endpoints.{name}]", *(f"{field} = {json.dumps(value)}" for field, value in fields.items())]
        (heist.desk / f"{name}.toml").write_text("\n".join(lines))
        code = call("dither", "audit", heist.desk / "plan.json", heist.desk / f"{name}.toml", "-o", heist.desk / "out")
    return code, heist.desk / "out" / name


@pytest.fixture(scope="module")
def found(heist):
    """The audit of the thief."""
    return audit(heist, Neighbours(*heist.served[THIEF]), "thief")


def verified(heist: Heist, folder: Path, capsys) -> tuple[int, str]:
    told = ("--log", heist.desk / "log", "--tsa-cert", heist.authority.root, "--signer", heist.desk / "owner.pem.pub")
    code = call("dither", "verify", folder, *told)
    return code, capsys.readouterr().out


def test_what_rests_on_the_folder_alone_is_not_authenticated(found, capsys):
    """Every step passes, and it may be anyone's: exit code 6."""
    capsys.readouterr()
    assert call("dither", "verify", found[1]) == 6
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT AUTHENTICATED")


def test_a_thief_is_found_and_its_account_named(found):
    """One account's answers trained it, the other's, to the same inputs, did not."""
    code, folder = found
    verdict = json.loads((folder / "coins.json").read_text())
    assert code == 1
    assert verdict["accounts"] == [THIEF]
    assert {each["strays"] for each in verdict["findings"]} == {0}


def test_everything_is_verified_offline(heist, found, capsys):
    """The key's commitment before the first answer, the log, the requests, and the verdict, coins drawn again."""
    code, shown = verified(heist, found[1], capsys)
    assert code == 0, shown
    assert "time-stamped before the first" in shown
    assert "stand in the log" in shown


def test_a_script_that_knows_nothing_of_us_finds_the_same(found):
    """Every hash and figure, the null drawn again."""
    code, shown = run_drawn(found[1])
    assert code == 0, shown
    assert f"match, {THIEF}" in shown


def test_the_report_names_the_account(found):
    """The page says what was found; the PDF is one."""
    assert f"served to the account {THIEF}" in (found[1] / "coins.html").read_text()
    assert (found[1] / "coins.pdf").read_bytes().startswith(b"%PDF")


def test_the_owners_own_model_is_no_match(heist, capsys):
    """Not even a copy of the target knows the coins."""
    code, folder = audit(heist, toy.trained(), "copy")
    assert code == 3
    assert "No account's coins are found" in json.loads((folder / "coins.json").read_text())["reasons"][0]


@pytest.mark.parametrize("name", ["coins.json", "plan.json", "transcript.jsonl", "bodies.pack"])
def test_what_was_altered_afterwards_is_noticed(heist, found, tmp_path, capsys, name):
    """Each file of the evidence, with one byte changed and its hash written anew, still fails a step."""
    from shutil import copytree

    from metav_audit.evidence import write_sums
    from metav_audit.verdict import AuditFolder

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


def test_the_same_command_asks_nothing_again(heist, found, capsys):
    """A finished audit is decided from its folder, with the server gone."""
    assert call("dither", "audit", heist.desk / "plan.json", heist.desk / "thief.toml", "-o", heist.desk / "out") == 1
    assert "finished earlier" in capsys.readouterr().err


def test_what_coins_cost_is_measured_before_serving(heist, capsys):
    """A line a size, the costs growing with it, and the largest that is cheap enough; none may be."""
    assert call("dither", "measure", heist.desk / "project", "--most", "2") == 0
    *_, last, advice = capsys.readouterr().out.splitlines()
    assert last.split()[0] == "2.000"
    assert float(last.split()[1]) > 2
    assert "--undecided" in advice
    assert call("dither", "measure", heist.desk / "project", "--most", "-50") == 3


def test_a_plan_under_another_key_gives_no_verdict(heist, tmp_path):
    """Where many labels of the log are not those of key and model, the plan does not fit, and no one is accused."""
    from dataclasses import replace

    from metav_audit.task import Features
    from metav_audit.verdict.coins import find_accounts

    plan = CoinPlan.load(heist.desk / "plan.json")
    other = replace(plan, dither=replace(plan.dither, key=bytes(32)))
    findings = find_accounts(other, Features(np.zeros((128, 3), np.float32), np.ones((128, 3), bool)))
    assert sum(each.strays for each in findings) > 5
