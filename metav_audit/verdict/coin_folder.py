"""The folder of an audit by coins: the plan, the transcript, what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from metav_audit.bundle import CoinPlan
from metav_audit.files import write_atomically
from metav_audit.transcript import Transcript
from metav_audit.verdict.coins import CoinVerdict, decide_coins
from metav_audit.verdict.folder import COINS, PLAN, AuditFolder

__all__ = ["COINS", "PLAN", "CoinDecision", "record_coins"]


@dataclass(frozen=True, slots=True)
class CoinDecision:
    """A verdict with all that it was decided from."""

    plan: CoinPlan
    transcript: Transcript
    verdict: CoinVerdict


def record_coins(folder: AuditFolder, plan: CoinPlan, transcript: Transcript) -> CoinDecision:
    """Decide, and write ``coins.json``.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the task.
        ConfigurationError: the folder cannot be written.
    """
    decision = CoinDecision(plan, transcript, decide_coins(plan, transcript))
    text = json.dumps(decision.verdict.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / COINS, text.encode() + b"\n")
    return decision
