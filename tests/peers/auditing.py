"""``metav-audit audit`` and ``verify`` as a user runs them, on an endpoint file made from a template."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from metav_audit.transcript import Transcript, load_transcript
from metav_audit.verdict import Asked, AuditFolder, Verdict, VerdictOutcome
from tests.peers.digits import TRUTHS, Digits

PROGRAM = Path(sys.executable).with_name("metav-audit")
MATCH = 1
"""The command's exit code where the gravest outcome is a match."""


@dataclass(frozen=True)
class Audit:
    """What one suspect's audit left behind."""

    name: str
    folder: Path
    verdict: Verdict
    transcript: Transcript

    def scores(self) -> np.ndarray:
        """float64 of shape (queries, classes); NaN where a class was not shown."""
        asked = Asked.of(AuditFolder(self.folder).bundle(), self.transcript)
        return np.array([answer.scores for answer in asked.answers], np.float64)

    def statuses(self) -> list[int | None]:
        """The HTTP status of every attempt for the fingerprint's queries."""
        return [attempt.status for each in self.transcript.exchanges for attempt in each.attempts]


def audit(digits: Digits, folder: Path, table: str, urls: Mapping[str, str]) -> list[Audit]:
    """Audit each suspect at its URL through one endpoint file; every folder verifies offline.

    Args:
        table: an endpoint's options in TOML, where ``$url`` and ``$suspect`` stand for the suspect's own.
        urls: the suspects and where they are served.
    """
    text = "".join(
        f"[endpoints.{name}]\n{Template(table).substitute(url=url, suspect=name)}\n" for name, url in urls.items()
    )
    (folder / "endpoints.toml").write_text(text)
    code, out, err = command("audit", digits.path, folder / "endpoints.toml", "-o", folder, "--format", "json")
    assert code == MATCH, f"exit code {code}\n{out}\n{err}"
    return [_read(folder / name, name) for name in urls]


def refused(digits: Digits, folder: Path, table: str, url: str) -> str:
    """Audit an endpoint that cannot be asked so; it ends with one line, which is returned.

    One request tells, or two where the first was a batch, which one input alone may have spoilt; each twice where a
    500 might pass.
    """
    (folder / "refused.toml").write_text(f"[endpoints.refused]\n{Template(table).safe_substitute(url=url)}\n")
    code, out, err = command("audit", digits.path, folder / "refused.toml", "-o", folder)
    assert (code, out) == (4, ""), f"exit code {code}\n{out}\n{err}"
    assert load_transcript(folder / "refused" / "transcript.jsonl").requests <= 4
    (line,) = err.splitlines()
    return line


def assert_right(digits: Digits, audits: list[Audit], shown: int = 10) -> None:
    """The verdicts are right, every query was answered, and the answers are the suspects' own.

    Args:
        shown: how many classes an answer shows.
    """
    assert [each.name for each in audits] == list(TRUTHS)
    for each in audits:
        assert each.verdict.outcome is TRUTHS[each.name], each.verdict
        assert each.verdict.answered == each.verdict.queries
        own = digits.network(each.name).predict_proba(digits.bundle.inputs)
        scores = each.scores()
        assert ((~np.isnan(scores)).sum(axis=1) == shown).all()
        assert np.allclose(np.where(np.isnan(scores), own, scores), own, rtol=0, atol=2e-6)


def command(*words: object) -> tuple[int, str, str]:
    """Run the program; return exit code, standard output and standard error."""
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False, timeout=280)
    return done.returncode, done.stdout, done.stderr


def _read(folder: Path, name: str) -> Audit:
    verdict = Verdict.from_json(json.loads((folder / "verdict.json").read_text()))
    code, out, err = command("verify", folder)
    assert code == 6, f"the audit of {name} does not verify\n{out}\n{err}"
    assert verdict.outcome in VerdictOutcome
    return Audit(name, folder, verdict, load_transcript(folder / "transcript.jsonl"))
