"""Request logs for tests: sealed for real, and a bundle that asks their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metav_audit.bundle import FingerprintBundle, MetaVerifier, VerifierKind
from metav_audit.task import Inputs, TaskSpec
from metav_audit.transcript.log import AskedLog, LogFormat, SealedLog, find_accounts, find_sources, inputs_of, seal_log
from tests.builders import make_siblings_bundle, weighed

DRAW = "0d" * 32


def sealed_log(folder: Path, task: TaskSpec, model: Callable, sent: Mapping[str, Inputs], day: int = 1) -> SealedLog:
    """Seal what accounts sent and ``model`` answered on one day into ``folder``."""
    rows = [
        {"time": f"2026-03-{day:02d}T10:00:00Z", "account": account, "input": each.ravel().tolist(), "answer": answer}
        for account, inputs in sent.items()
        for each, answer in zip(inputs, np.asarray(model(inputs)).tolist(), strict=True)
    ]
    export = folder.parent / f"{folder.name}-{day}.jsonl"
    export.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return seal_log(find_sources([str(export)]), LogFormat(task), folder)[0]


def make_accounts_bundle(
    log: SealedLog, queries: int = 12, seals: Sequence[Mapping[str, object]] = (), **given
) -> FingerprintBundle:
    """A bundle like ``make_siblings_bundle`` that asks so many inputs of each account of a log."""
    task = log.format.task
    accounts = find_accounts(log, DRAW)
    asked = [(number, logged) for number, account in enumerate(accounts) for logged in account.rows[:queries]]
    inputs = inputs_of([logged.row for _, logged in asked], task)
    bundle = make_siblings_bundle(queries=len(inputs), task=task, inputs=inputs, **given)
    owners = np.array([number for number, _ in asked], np.float32)
    verifier = MetaVerifier(VerifierKind.ACCOUNTS, {**bundle.verifier.tensors, "accounts": owners})
    told = AskedLog.of(log, DRAW, accounts, asked, seals).to_json()
    provenance = {**bundle.provenance, "log": json.loads(json.dumps(told, sort_keys=True))}
    return weighed(replace(bundle, method="accounts", verifier=verifier, provenance=provenance))
