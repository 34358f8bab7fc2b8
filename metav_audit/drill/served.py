"""The drill on answers drawn at random: what a dishonest owner makes of a log of texts, and what exposes it.

Whoever has asked an innocent suspect in secret can write down answers that it likes, or choose among true ones, among
alternatives, or among prompts. All of it is made here for real, from a true log, the owner's model and an innocent one.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from metav_audit.bundle import ServedPlan
from metav_audit.drill.rounds import Round
from metav_audit.errors import ConfigurationError, DataError, EvidenceError
from metav_audit.evidence import SigningKey, check_drawn, check_log_seals, is_older, log_seals, seal_head
from metav_audit.fingerprint.served import (
    ALTERNATIVES,
    Ask,
    Program,
    Wanted,
    check_texts,
    plan_served,
    redrawn,
    scores_of,
)
from metav_audit.transcript.log import (
    Account,
    AskedLog,
    Drawn,
    LogFormat,
    Row,
    SealedLog,
    find_accounts,
    find_sources,
    seal_log,
)
from metav_audit.verdict.served import MISFIT, find_served, leanings

_SHARE = 2
"""The dishonest owner keeps one of so many prompts."""

_BACKDATED = datetime(2001, 1, 1, tzinfo=UTC)
"""What a signature claims of its time is the signer's word."""


class LogKind(StrEnum):
    """How a plan came about."""

    INVENTED = "texts of the suspect's"
    """What it says itself is written down as served."""
    CHOSEN = "texts chosen for it"
    """Of many that the owner's model would serve, those that it likes best are."""
    FOREIGN = "alternatives elsewhere"
    """They answer other prompts."""
    PICKED = "alternatives picked"
    """Of many that the model draws, those that it likes least stand in the plan."""
    PROMPTS = "prompts picked"
    """Those where it likes what was served."""
    HONEST = "honest"


class LogCheck(StrEnum):
    """What may expose a plan."""

    FIT = "fit"
    """To the model itself, served and alternatives look unlike each other: no verdict names the account."""
    SEAL = "seal"
    """Nothing shows that the log is older than the suspect; report and verify say so."""
    DRAW = "draw"
    """The prompts are not the first that the auditor's draw gives; verify says so to whom the log is shown."""
    REDRAW = "redraw"
    """The model draws other alternatives; 'served redraw' says so to who may run it."""


@dataclass(frozen=True, slots=True)
class LogDrill:
    """Who plays.

    Attributes:
        log: true, of texts.
        program: the owner's model as it was served.
        innocent: a model that never saw what the log holds.
        known: the innocent's first known day, as 2026-11-30.
        prompts: asked in each round.
    """

    log: SealedLog
    program: Program
    innocent: Program
    known: str
    prompts: int = 100

    def play(self, rounds: int, seed: int) -> Iterator[Round]:
        """Play every kind, round by round, each round with another draw of the auditor's.

        Raises:
            ConfigurationError: the log is not of texts.
            DataError: the log's busiest account sent too little, or a program does not what it should.
        """
        check_texts(self.log)
        for number in range(rounds):
            draw = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
            account = find_accounts(self.log, draw)[0]
            if len(account.rows) < _SHARE * self.prompts:
                raise DataError(
                    f"the account {account.name!r} sent {len(account.rows)} different prompts, and the drill picks "
                    f"among {_SHARE * self.prompts}: ask for fewer"
                )
            for kind in LogKind:
                with tempfile.TemporaryDirectory() as folder:
                    log, plan = self._rigged(kind, account, draw, Path(folder))
                    yield self._expose(kind, number, log, plan)

    def _rigged(self, kind: LogKind, account: Account, draw: str, folder: Path) -> tuple[SealedLog, ServedPlan]:
        if kind in (LogKind.INVENTED, LogKind.CHOSEN):
            answer = {LogKind.INVENTED: self._invent, LogKind.CHOSEN: self._choose}[kind]
            log = _written([logged.row for logged in account.rows[: _SHARE * self.prompts]], answer, folder)
            return log, self._plan(log, find_accounts(log, draw)[0], self.program, draw)
        program = {LogKind.FOREIGN: self._foreign(account), LogKind.PICKED: self._picked()}.get(kind, self.program)
        if kind is LogKind.PROMPTS:
            account = self._best(account, draw)
        return self.log, self._plan(self.log, account, program, draw)

    def _plan(self, log: SealedLog, account: Account, program: Program, draw: str, share: int = 1) -> ServedPlan:
        wanted = Wanted(prompts=share * self.prompts)
        return plan_served(log, [account], program, draw, wanted, log_seals(log))

    def _expose(self, kind: LogKind, number: int, log: SealedLog, plan: ServedPlan) -> Round:
        (found,) = find_served(plan, scores_of(plan, self.innocent))
        failed = [LogCheck.FIT] if found.fit <= MISFIT else []
        if not is_older(AskedLog.from_json(plan.log), self.known):
            failed.append(LogCheck.SEAL)
        try:
            check_drawn(plan, log)
        except EvidenceError:
            failed.append(LogCheck.DRAW)
        if redrawn(plan, self.program):
            failed.append(LogCheck.REDRAW)
        detail = f"z {found.statistic:.2f}, p {found.p_value:.4f}, fit {found.fit:.4f}"
        return Round(kind, number, found.account, found.adjusted <= plan.rate, tuple(failed), detail)

    # What the dishonest owner does.

    def _invent(self, ask: Ask) -> str:
        return next(iter(self.innocent.draw([ask])))

    def _choose(self, ask: Ask) -> str:
        drawn = list(self.program.draw([ask._replace(seed=ask.seed + at) for at in range(1 + ALTERNATIVES)]))
        return drawn[int(np.argmax(self._likings(ask, drawn)))]

    def _likings(self, ask: Ask, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return how much the innocent likes each text beyond what the owner's model does."""
        theirs, own = (list(model.score([ask] * len(texts), texts)) for model in (self.innocent, self.program))
        return np.subtract(theirs, own)

    def _picked(self) -> Program:
        def draw(asks: Sequence[Ask]) -> list[str]:
            more = [ask._replace(seed=(ask.seed + at) % 2**63) for ask in asks for at in range(3)]
            texts = list(self.program.draw(more))
            return [texts[at] for at in np.argsort(self._likings(asks[0], texts), kind="stable")[: len(asks)]]

        return _Rigged(self.program, draw)

    def _foreign(self, account: Account) -> Program:
        prompts = [logged.row.input.decode() for logged in account.rows]

        def draw(asks: Sequence[Ask]) -> list[str]:
            return list(self.program.draw([ask._replace(prompt=prompts[ask.seed % len(prompts)]) for ask in asks]))

        return _Rigged(self.program, draw)

    def _best(self, account: Account, draw: str) -> Account:
        """Keep the rows where the innocent likes what was served."""
        plan = self._plan(self.log, account, self.program, draw, _SHARE)
        liked = leanings(plan, scores_of(plan, self.innocent))[:, 0]
        kept = {plan.queries[at].prompt for at in np.argsort(-liked)[: self.prompts]}
        return replace(account, rows=tuple(each for each in account.rows if each.row.input.decode() in kept))


def check_stamped(log: SealedLog) -> None:
    """Raise ConfigurationError where no seal of a true log has a time stamp: honest plans could not pass."""
    seals = check_log_seals(log)
    if not any(seal.findings.stamped for seal in seals):
        raise ConfigurationError(
            f"{log.path} has {'no time stamp' if seals else 'no seal'}, and honest plans pass the drill by one that is "
            "older than the innocent: 'metav-audit log seal' with --key and --tsa makes it"
        )


class _Rigged:
    """The owner's model with another way to draw."""

    def __init__(self, program: Program, draw: Callable[[Sequence[Ask]], list[str]]) -> None:
        self.version, self.score, self.split, self.draw = program.version, program.score, program.split, draw


def _written(rows: Sequence[Row], answer: Callable[[Ask], str], folder: Path) -> SealedLog:
    """Seal a log with other answers, signed, with a time that is claimed alone."""
    export = folder / "export.jsonl"
    with export.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            assert row.how is not None
            sampler, temperature, prompt = row.how.sampler, row.how.temperature, row.input.decode()
            ask = Ask(prompt, said="", one=False, seed=number << 20, sampler=sampler, temperature=temperature)
            file.write(json.dumps(_record(row, row.how, answer(ask))) + "\n")
    log, _ = seal_log(find_sources([str(export)]), LogFormat(None), folder / "log")
    seal_head(log, SigningKey(Ed25519PrivateKey.generate()), claimed_at=_BACKDATED)
    return log


def _record(row: Row, how: Drawn, answer: str) -> Mapping[str, Any]:
    return {"time": row.at, "account": row.account, "input": row.input.decode(), "answer": answer, **how._asdict()}
