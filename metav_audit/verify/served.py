"""An audit of served answers recomputed, offline, in numbered steps."""

from __future__ import annotations

from metav_audit.bundle import ServedPlan
from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence import check_drawn, check_served, check_sums
from metav_audit.transcript import Records
from metav_audit.transcript.log import AskedLog, SealedLog
from metav_audit.verdict import TRANSCRIPT, AuditFolder
from metav_audit.verdict.folder import SERVED, SERVED_PLAN
from metav_audit.verdict.served import decide_served
from metav_audit.verify.checklist import Checklist, Found, Step
from metav_audit.verify.drawn import bodies_kept, decided_as, played_with, recorded_with
from metav_audit.verify.vouched import NOTHING, Expected


def verify_served(folder: AuditFolder, expected: Expected = NOTHING, log: SealedLog | None = None) -> list[Step]:
    """Verify the folder of an audit of served answers offline.

    1. Every file has the hash that SHA256SUMS gives, and there are no others.
    2. The plan is intact.
    3. Its answers are rows of the log that it names, by their proofs, and the log's seals hold.
    4. The whole sealed log, where it is given, is the one that the plan names, and intact; and the prompts are those
       that the draw gives first.
    5. The transcript is intact, and was recorded with this plan.
    6. The bodies are intact.
    7. The plan's passages were sent, as the adapter writes them, and the responses hold the answers.
    8. The verdict, decided anew with the served ones drawn again, is that of served.json.

    That the alternatives are the model's own, ``metav-audit served redraw`` shows to whoever may run the model.

    Args:
        folder: one audit's folder.
        expected: what is known from elsewhere.
        log: the owner's sealed log, if they show it.

    Raises:
        ConfigurationError: there is no audit of served answers in the folder at all.
    """
    if not any(folder.has(name) for name in (SERVED_PLAN, SERVED)):
        raise ConfigurationError(
            f"{folder.path} is no folder of an audit of served answers: such a one holds {SERVED_PLAN}, {TRANSCRIPT}"
        )
    checklist = Checklist()
    checklist.take("files as they were when the audit ended", lambda: (True, check_sums(folder)))
    plan = checklist.take("plan intact", _plan, folder)
    checklist.take("answers are rows of the sealed log", _logged, plan, expected)
    if log is not None:
        whole = checklist.take("the log is the one that was sealed", _whole, plan, log)
        checklist.take("prompts are those that the draw gives", _drawn, plan, log, whole)
    records = checklist.take("transcript intact, recorded with this plan", recorded_with, folder, plan)
    checklist.take("bodies intact", bodies_kept, folder, records)
    checklist.take("passages sent, answers decoded again", played_with, folder, plan, records)
    checklist.take("verdict decided anew", _decided, folder, plan, records)
    return checklist.steps


def _plan(folder: AuditFolder) -> Found:
    plan = ServedPlan.load(folder / SERVED_PLAN)
    return plan, f"{len(plan.queries)} prompts of {len(plan.accounts)} accounts, SHA-256 {plan.sha256}"


def _logged(plan: ServedPlan, expected: Expected) -> Found:
    return True, check_served(plan, signer=expected.owner, roots=expected.roots)


def _whole(plan: ServedPlan, log: SealedLog) -> Found:
    named = AskedLog.from_json(plan.log).head
    if log.head != named:
        raise EvidenceError(f"the plan names a log whose head is {named}, this one's is {log.head}")
    log.check()
    return True, f"{log.count} rows of {len(log.days)} days, with the head {log.head}"


def _drawn(plan: ServedPlan, log: SealedLog, _: bool) -> Found:
    return True, check_drawn(plan, log)


def _decided(folder: AuditFolder, plan: ServedPlan, records: Records) -> Found:
    return decided_as(folder / SERVED, decide_served(plan, records.transcript))
