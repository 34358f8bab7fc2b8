"""The reports of an integrity audit: report.csv, report.html, report.pdf.

Columns of report.csv: ``endpoint``, ``query`` (from 0), ``status`` (answered or unanswered), ``unseen`` (True where no
enrolled session gave such an answer), ``enrolled`` (sessions that answered it), ``model``, ``answer`` (all
probabilities or values as JSON arrays; null where one was hidden).
"""

from __future__ import annotations

import json

from metav_audit.bundle.integrity import IntegrityPlan
from metav_audit.evidence import write_sums
from metav_audit.files import write_atomically
from metav_audit.report.formats import Paper
from metav_audit.transcript import Transcript
from metav_audit.verdict import AuditFolder
from metav_audit.verdict.drawn_folder import IntegrityDecision, record_integrity
from metav_audit.verdict.integrity import session_of

COLUMNS = ("endpoint", "query", "status", "unseen", "enrolled", "model", "answer")


def close_integrity(
    folder: AuditFolder, plan: IntegrityPlan, transcript: Transcript, *, paper: Paper = "a4"
) -> IntegrityDecision:
    """Decide an integrity audit, write verdict.json, the table and the pages, and list the hashes of all.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the task.
        ConfigurationError: the folder cannot be written.
    """
    decision = record_integrity(folder, plan, transcript)
    for name, content in integrity_reports(decision, paper).items():
        write_atomically(folder / name, content)
    write_sums(folder)
    return decision


def integrity_reports(decision: IntegrityDecision, paper: Paper = "a4") -> dict[str, bytes]:
    """Return the reports that follow from a decision, by file name."""
    from metav_audit.report.as_html import as_page
    from metav_audit.report.as_pdf import typeset
    from metav_audit.report.layout.integrity import lay_out_integrity

    document = lay_out_integrity(decision.plan, decision.transcript, decision.verdict)
    return {
        "report.csv": table_of(decision),
        "report.html": as_page(document, {}),
        "report.pdf": typeset(document, {}, paper=paper),
    }


def table_of(decision: IntegrityDecision) -> bytes:
    """Write one row a query; see the module."""
    from metav_audit.report.as_csv import written

    plan, unseen = decision.plan, set(decision.verdict.unseen)
    now = session_of(plan, decision.transcript)
    rows = []
    for query, (own, answer) in enumerate(zip(plan.own, now.answers, strict=True)):
        enrolled = sum(session.answers[query] is not None for session in plan.sessions)
        shown = None if answer is None else json.dumps(answer.scores)
        status = "unanswered" if answer is None else "answered"
        rows.append((now.endpoint, query, status, query in unseen, enrolled, json.dumps(own), shown))
    return written(rows, COLUMNS)
