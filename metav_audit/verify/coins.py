"""An audit by coins recomputed, offline, in numbered steps."""

from __future__ import annotations

from metav_audit.bundle import CoinPlan
from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence import AttestedStatus, check_sums, dither_attested
from metav_audit.transcript import Records
from metav_audit.transcript.log import SealedLog
from metav_audit.verdict import TRANSCRIPT, AuditFolder
from metav_audit.verdict.coins import decide_coins
from metav_audit.verdict.folder import COINS, PLAN
from metav_audit.verify.checklist import Checklist, Found, NothingThereError, Step
from metav_audit.verify.drawn import bodies_kept, decided_as, played_with, recorded_with
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
        raise ConfigurationError(
            f"{folder.path} is no folder of an audit by coins: such a one holds {PLAN}, {TRANSCRIPT}"
        )
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


def _decided(folder: AuditFolder, plan: CoinPlan, records: Records) -> Found:
    return decided_as(folder / COINS, decide_coins(plan, records.transcript))
