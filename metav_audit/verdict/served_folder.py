"""The folder of an audit of served answers: the plan, the transcript, what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from metav_audit.bundle import ServedPlan
from metav_audit.files import write_atomically
from metav_audit.transcript import Transcript
from metav_audit.verdict.folder import SERVED, SERVED_PLAN, AuditFolder
from metav_audit.verdict.served import ServedVerdict, decide_served

__all__ = ["SERVED", "SERVED_PLAN", "ServedDecision", "record_served"]


@dataclass(frozen=True, slots=True)
class ServedDecision:
    """A verdict with all that it was decided from."""

    plan: ServedPlan
    transcript: Transcript
    verdict: ServedVerdict


def record_served(folder: AuditFolder, plan: ServedPlan, transcript: Transcript) -> ServedDecision:
    """Decide, and write ``served.json``.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the plan.
        ConfigurationError: the folder cannot be written.
    """
    decision = ServedDecision(plan, transcript, decide_served(plan, transcript))
    text = json.dumps(decision.verdict.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / SERVED, text.encode() + b"\n")
    return decision
