"""Steps that verifications have in common where the null is drawn again."""

from __future__ import annotations

import json
from pathlib import Path

from metav_audit.bundle import Questions
from metav_audit.errors import TranscriptError
from metav_audit.evidence import first_difference
from metav_audit.files import strict_json
from metav_audit.transcript import Records
from metav_audit.verdict import Asked, AuditFolder
from metav_audit.verdict.coins import CoinVerdict
from metav_audit.verdict.integrity import IntegrityVerdict
from metav_audit.verdict.served import ServedVerdict
from metav_audit.verify.checklist import Found
from metav_audit.verify.exchange import check_bodies, play_again
from metav_audit.verify.reports import agreed, read_bounded


def recorded_with(folder: AuditFolder, plan: Questions) -> Found:
    """Read the transcript as a step, and hold it against a plan."""
    records = folder.records()
    transcript = records.transcript
    if transcript.bundle_sha256 != plan.sha256:
        raise TranscriptError(f"it names the plan {transcript.bundle_sha256}, the one beside it is {plan.sha256}")
    Asked.of(plan, transcript)
    return records, f"{transcript.requests} requests, chain ends in SHA-256 {transcript.head}"


def bodies_kept(folder: AuditFolder, records: Records) -> Found:
    """Check all bodies as a step."""
    return True, f"{check_bodies(folder, records).bodies} bodies of requests and responses have their hashes"


def played_with(folder: AuditFolder, plan: Questions, records: Records) -> Found:
    """Play the exchange again as a step."""
    played = play_again(folder, records, plan)
    return True, f"{played.requests} requests hold the plan's inputs, {played.answers} responses the recorded answers"


def decided_as(file: Path, verdict: CoinVerdict | ServedVerdict | IntegrityVerdict) -> Found:
    """Hold a verdict that was decided anew against the one on file, as a step."""
    agreed(first_difference(strict_json(read_bounded(file)), json.loads(json.dumps(verdict.to_json()))))
    return verdict, f"{verdict.outcome.value}: {' '.join(verdict.reasons)}"
