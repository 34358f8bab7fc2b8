"""An audit by coins recomputed, offline, in numbered steps."""

from __future__ import annotations

import json

from metav_audit.bundle import CoinPlan, Questions
from metav_audit.errors import ConfigurationError, EvidenceError, TranscriptError
from metav_audit.evidence import AttestedStatus, check_sums, dither_attested, first_difference
from metav_audit.files import strict_json
from metav_audit.transcript import Records
from metav_audit.transcript.log import SealedLog
from metav_audit.verdict import TRANSCRIPT, Asked, AuditFolder
from metav_audit.verdict.coin_folder import COINS, PLAN
from metav_audit.verdict.coins import CoinVerdict, decide_coins
from metav_audit.verify.checklist import Checklist, Found, NothingThereError, Step
from metav_audit.verify.exchange import check_bodies, play_again
from metav_audit.verify.reports import agreed, read_bounded
from metav_audit.verify.vouched import NOTHING, Expected


def verify_coins(folder: AuditFolder, expected: Expected = NOTHING, log: SealedLog | None = None) -> list[Step]:
    """Verify the folder of an audit by coins offline.

    1. Every file has the hash that SHA256SUMS gives, and there are no others.
    2. The plan is intact, and its coins are those of its key.
    3. The key's commitment, if there is one, holds, and is older than the first answer that was served with it.
    4. What the plan says was served stands in the sealed log, where the log is given.
    5. The transcript is intact, and was recorded with this plan.
    6. The bodies are intact.
    7. The plan's inputs were sent, as the adapter writes them, and the responses hold the answers.
    8. The verdict, decided anew with the coins drawn again, is that of coins.json.

    Args:
        folder: one audit's folder.
        expected: what is known from elsewhere.
        log: the owner's sealed log, if they show it.

    Raises:
        ConfigurationError: there is no audit by coins in the folder at all.
    """
    if not any(folder.has(name) for name in (PLAN, COINS)):
        raise ConfigurationError(f"{folder.path} is no folder of an audit by coins: it holds {PLAN}, {TRANSCRIPT}")
    checklist = Checklist()
    checklist.take("files as they were when the audit ended", lambda: (True, check_sums(folder)))
    plan = checklist.take("plan intact", _plan, folder)
    checklist.take("key committed before the first answer", _committed, plan, expected)
    if log is not None:
        checklist.take("answers stand in the sealed log", _logged, plan, log)
    records = checklist.take("transcript intact, recorded with this plan", recorded_with, folder, plan)
    checklist.take("bodies intact", bodies_kept, folder, records)
    checklist.take("inputs sent, answers decoded again", played_with, folder, plan, records)
    checklist.take("verdict decided anew", _decided, folder, plan, records)
    return checklist.steps


def _plan(folder: AuditFolder) -> Found:
    plan = CoinPlan.load(folder / PLAN)
    return plan, f"{len(plan.queries)} queries of {len(plan.accounts)} accounts, SHA-256 {plan.sha256}"


def _committed(plan: CoinPlan, expected: Expected) -> Found:
    attested = dither_attested(plan, signer=expected.owner, roots=expected.roots)
    there = attested.status is not AttestedStatus.NONE
    if not there and expected == NOTHING:
        raise NothingThereError(attested.sentence)
    if not (there and attested.holds):
        raise EvidenceError(attested.sentence)
    return True, attested.sentence


def _logged(plan: CoinPlan, log: SealedLog) -> Found:
    if log.head != plan.log:
        raise EvidenceError(f"the plan names a log whose head is {plan.log}, this one's is {log.head}")
    log.check()
    wanted = {(query.account, query.at, query.input, query.served) for query in plan.queries}
    for row in log.rows():
        wanted.discard(
            (row.account, row.at, row.input, row.answer if isinstance(row.answer, str) else tuple(row.answer))
        )
    if wanted:
        raise EvidenceError(f"{len(wanted)} of the plan's {len(plan.queries)} answers do not stand in the log")
    return True, f"all {len(plan.queries)} stand in the log with the head {log.head}"


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


def _decided(folder: AuditFolder, plan: CoinPlan, records: Records) -> Found:
    verdict: CoinVerdict = decide_coins(plan, records.transcript)
    recorded = strict_json(read_bounded(folder / COINS))
    agreed(first_difference(recorded, json.loads(json.dumps(verdict.to_json()))))
    return verdict, f"{verdict.outcome.value}: {' '.join(verdict.reasons)}"
