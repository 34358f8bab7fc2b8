"""An integrity audit recomputed, offline, in numbered steps."""

from __future__ import annotations

from collections.abc import Callable

from metav_audit.bundle.integrity import IntegrityPlan
from metav_audit.evidence import check_sums
from metav_audit.report.integrity import integrity_reports
from metav_audit.transcript import Records
from metav_audit.verdict import VERDICT, AuditFolder
from metav_audit.verdict.drawn_folder import DrawnDecision
from metav_audit.verdict.folder import INTEGRITY_PLAN
from metav_audit.verdict.integrity import IntegrityVerdict, decide_integrity
from metav_audit.verify.checklist import Checklist, Found, Step
from metav_audit.verify.drawn import bodies_kept, decided_as, played_with, recorded_with
from metav_audit.verify.reports import Reports


def verify_integrity(folder: AuditFolder) -> list[Step]:
    """Verify the folder of an integrity audit offline.

    1. Every file has the hash that SHA256SUMS gives, and there are no others.
    2. The plan is intact, its sessions included.
    3. The transcript is intact, and was recorded with this plan.
    4. The bodies are intact.
    5. The plan's inputs were sent, as the adapter writes them, and the responses hold the answers.
    6. The verdict, decided anew, is that of verdict.json.
    7. to 9. The reports are those that this evidence gives.

    The sessions' own transcripts lie with whoever enrolled them: the plan names the head of each.
    """
    checklist = Checklist()
    checklist.take("files as they were when the audit ended", lambda: (True, check_sums(folder)))
    plan = checklist.take("plan intact", _plan, folder)
    records = checklist.take("transcript intact, recorded with this plan", recorded_with, folder, plan)
    checklist.take("bodies intact", bodies_kept, folder, records)
    checklist.take("inputs sent, answers decoded again", played_with, folder, plan, records)
    verdict = checklist.take("verdict decided anew", _decided, folder, plan, records)
    reports = Reports(folder, _written)
    for name, compare in (("csv", reports.csv), ("html", reports.html), ("pdf", reports.pdf)):
        checklist.take(f"report.{name} says the same", _compared, compare, plan, records, verdict)
    return checklist.steps


def _written(folder: AuditFolder, plan: IntegrityPlan, records: Records, verdict: IntegrityVerdict) -> dict[str, bytes]:
    from metav_audit.report.as_pdf import paper_of

    paper = paper_of(folder.content("report.pdf")) if folder.has("report.pdf") else "a4"
    return integrity_reports(DrawnDecision(plan, records.transcript, verdict), paper)


def _compared(compare: Callable[..., str], plan: IntegrityPlan, records: Records, verdict: IntegrityVerdict) -> Found:
    return True, compare(plan, records, verdict)


def _plan(folder: AuditFolder) -> Found:
    plan = IntegrityPlan.load(folder / INTEGRITY_PLAN)
    return plan, f"{len(plan.inputs)} inputs, {len(plan.sessions)} sessions, SHA-256 {plan.sha256}"


def _decided(folder: AuditFolder, plan: IntegrityPlan, records: Records) -> Found:
    return decided_as(folder / VERDICT, decide_integrity(plan, records.transcript))
