"""The reports of audits whose null is drawn again: coins.html and coins.pdf, served.html and served.pdf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metav_audit.bundle import CoinPlan, ServedPlan
from metav_audit.evidence import dither_attested, served_sentence, write_sums
from metav_audit.files import write_atomically
from metav_audit.progress import printable
from metav_audit.report.formats import Paper
from metav_audit.transcript import Transcript
from metav_audit.verdict import AccountFinding, AuditFolder
from metav_audit.verdict.drawn import DrawnVerdict
from metav_audit.verdict.drawn_folder import CoinDecision, ServedDecision, record_coins, record_served

if TYPE_CHECKING:
    from metav_audit.report.document import Document

COINS_HTML, COINS_PDF = "coins.html", "coins.pdf"
SERVED_HTML, SERVED_PDF = "served.html", "served.pdf"


def close_coins(folder: AuditFolder, plan: CoinPlan, transcript: Transcript, *, paper: Paper = "a4") -> CoinDecision:
    """Decide an audit by coins, write coins.json and the pages, and list the hashes of all.

    Args:
        folder: where they go.
        plan: what was asked.
        transcript: what came back.
        paper: the PDF's.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the task.
        ConfigurationError: the folder cannot be written.
    """
    from metav_audit.report.layout.coins import FIGURE, lay_out_coins

    decision = record_coins(folder, plan, transcript)
    document = lay_out_coins(decision, dither_attested(plan))
    _write(document, FIGURE, decision.verdict, folder, (COINS_HTML, COINS_PDF), paper)
    write_sums(folder)
    return decision


def close_served(
    folder: AuditFolder, plan: ServedPlan, transcript: Transcript, operator: Mapping[str, str], *, paper: Paper = "a4"
) -> ServedDecision:
    """Decide an audit of served answers, write served.json and the pages, and list the hashes of all.

    Arguments and errors are those of ``close_coins``; ``operator`` holds the auditor's words, since when the suspect is
    known among them.
    """
    from metav_audit.report.layout.served import FIGURE, lay_out_served

    decision = record_served(folder, plan, transcript)
    document = lay_out_served(decision, served_sentence(plan, operator))
    _write(document, FIGURE, decision.verdict, folder, (SERVED_HTML, SERVED_PDF), paper)
    write_sums(folder)
    return decision


def _write(
    document: Document,
    figure: str,
    verdict: DrawnVerdict[Any],
    folder: AuditFolder,
    names: tuple[str, str],
    paper: Paper,
) -> None:
    from metav_audit.report.as_html import as_page
    from metav_audit.report.as_pdf import typeset
    from metav_audit.report.figures.accounts import account_plot

    accounts = tuple(
        AccountFinding(
            printable(one.account), one.asked, one.asked, one.answered, nearness=one.statistic, p_value=one.adjusted
        )
        for one in verdict.findings
    )
    images = {figure: account_plot(accounts, verdict.rate)}
    html, pdf = names
    write_atomically(folder / html, as_page(document, images))
    write_atomically(folder / pdf, typeset(document, images, paper=paper))
