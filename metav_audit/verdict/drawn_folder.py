"""The folder of an audit by a plan: the plan, the transcript, what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from metav_audit.bundle import CoinPlan, ServedPlan
from metav_audit.bundle.integrity import IntegrityPlan
from metav_audit.files import write_atomically
from metav_audit.transcript import Transcript
from metav_audit.verdict.coins import CoinVerdict, decide_coins
from metav_audit.verdict.folder import COINS, SERVED, VERDICT, AuditFolder
from metav_audit.verdict.integrity import IntegrityVerdict, decide_integrity
from metav_audit.verdict.served import ServedVerdict, decide_served

AnyPlan = TypeVar("AnyPlan", CoinPlan, ServedPlan, IntegrityPlan)
AnyVerdict = TypeVar("AnyVerdict", CoinVerdict, ServedVerdict, IntegrityVerdict)


@dataclass(frozen=True, slots=True)
class DrawnDecision(Generic[AnyPlan, AnyVerdict]):
    """A verdict with all that it was decided from."""

    plan: AnyPlan
    transcript: Transcript
    verdict: AnyVerdict


CoinDecision = DrawnDecision[CoinPlan, CoinVerdict]
ServedDecision = DrawnDecision[ServedPlan, ServedVerdict]
IntegrityDecision = DrawnDecision[IntegrityPlan, IntegrityVerdict]


def record_coins(folder: AuditFolder, plan: CoinPlan, transcript: Transcript) -> CoinDecision:
    """Decide, and write ``coins.json``.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the task.
        ConfigurationError: the folder cannot be written.
    """
    verdict = decide_coins(plan, transcript)
    _write(folder, COINS, verdict)
    return DrawnDecision(plan, transcript, verdict)


def record_served(folder: AuditFolder, plan: ServedPlan, transcript: Transcript) -> ServedDecision:
    """Decide, and write ``served.json``; the errors are those of ``record_coins``."""
    verdict = decide_served(plan, transcript)
    _write(folder, SERVED, verdict)
    return DrawnDecision(plan, transcript, verdict)


def record_integrity(folder: AuditFolder, plan: IntegrityPlan, transcript: Transcript) -> IntegrityDecision:
    """Decide, and write ``verdict.json``; the errors are those of ``record_coins``."""
    verdict = decide_integrity(plan, transcript)
    _write(folder, VERDICT, verdict)
    return DrawnDecision(plan, transcript, verdict)


def _write(folder: AuditFolder, name: str, verdict: CoinVerdict | ServedVerdict | IntegrityVerdict) -> None:
    text = json.dumps(verdict.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / name, text.encode() + b"\n")
