"""An audit through the command line of a server that takes a token for a while, and the search for what it left."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from metav_audit.cli import main
from tests.audit.leased import spellings
from tests.audit.test_secrets import unpacked
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply, Seen

TASK = make_task()
BUNDLE = make_bundle(queries=8, task=TASK)
TARGET = linear_model(TASK, 0)
REQUESTS = 24
"""Of an audit that nothing disturbs."""


@dataclass
class Tokens:
    """What was given out, and what of it still holds.

    Attributes:
        life_s: seconds that a token is said to hold, and holds.
        uses: a token holds no longer than for so many requests, whatever was said.
        secrets: everything that may stand in no artefact.
    """

    life_s: float = 3600
    uses: int = 1 << 30
    ends: dict[str, float] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    def new(self, prefix: str = "") -> str:
        return self.keep(prefix + secrets.token_urlsafe(40))

    def keep(self, token: str) -> str:
        self.ends[token] = time.time() + self.life_s
        self.secrets.append(token)
        return token

    def takes(self, token: str) -> bool:
        """Whether a token holds now; it counts as used once more."""
        self.used[token] = self.used.get(token, 0) + 1
        return self.ends.get(token, 0.0) > time.time() and self.used[token] <= self.uses


def taking(tokens: Tokens, token_of: Callable[[Seen], str], refusal: Callable[[str], Reply]):
    """A model's server that refuses what has ended, and repeats every token that it sees, in answers and refusals."""

    def fault(number: int, seen: Seen) -> Reply | None:
        token = token_of(seen)
        if not tokens.takes(token):
            return refusal(token)
        rows = TARGET(json.loads(seen.body)["instances"]).tolist()
        return Reply(200, json.dumps({"echo": dict(seen.headers), "predictions": rows}).encode(), {"X-Echo": token})

    return fault


def serving(fault, delay_s: float = 0.0) -> ModelServer:
    return ModelServer(None, fault=fault, delay_s=delay_s)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, caplog):
    """Audit by the text of an endpoint file; return the exit code and what was printed and logged."""
    caplog.set_level("DEBUG")
    BUNDLE.save(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)

    def call(text: str, *options: str) -> tuple[int, str]:
        (tmp_path / "endpoints.toml").write_text(text)
        with pytest.raises(SystemExit) as end:
            main(["audit", "bundle", "endpoints.toml", "-o", "audits", *options])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out + shown.err + caplog.text

    return call


def check_left(tmp_path, shown: str, hidden: list[str]) -> None:
    """Raise AssertionError where an artefact, or what was shown, holds a secret or a good part of one."""
    files = [path for path in (tmp_path / "audits").rglob("*") if path.is_file()]
    assert {"transcript.jsonl", "verdict.json", "report.pdf", "bodies.pack"} <= {path.name for path in files}
    contents = {"what was shown": shown.encode(), **{str(path): unpacked(path) for path in files}}
    assert hidden
    assert not [where for where, content in contents.items() for text in spellings(hidden) if text in content]
    with pytest.raises(SystemExit) as end:
        main(["verify", str(tmp_path / "audits" / "cloud")])
    assert end.value.code == 6
