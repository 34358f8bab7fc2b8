"""The report of an audit of served answers: served.html and served.pdf beside its served.json."""

from __future__ import annotations

from collections.abc import Mapping

from metav_audit.evidence import served_sentence
from metav_audit.files import write_atomically
from metav_audit.progress import printable
from metav_audit.report.formats import Paper
from metav_audit.verdict import AccountFinding, AuditFolder
from metav_audit.verdict.served_folder import ServedDecision

HTML, PDF = "served.html", "served.pdf"


def write_served_reports(
    decision: ServedDecision, folder: AuditFolder, operator: Mapping[str, str], *, paper: Paper = "a4"
) -> None:
    """Write the report's pages.

    Args:
        decision: what they say.
        folder: where they go.
        operator: the auditor's words; since when the suspect is known is among them.
        paper: the PDF's.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    from metav_audit.report.as_html import as_page
    from metav_audit.report.as_pdf import typeset
    from metav_audit.report.figures.accounts import account_plot
    from metav_audit.report.layout.served import FIGURE, lay_out_served

    document = lay_out_served(decision, served_sentence(decision.plan, operator))
    accounts = tuple(
        AccountFinding(
            printable(one.account), one.asked, one.asked, one.answered, nearness=one.statistic, p_value=one.adjusted
        )
        for one in decision.verdict.findings
    )
    images = {FIGURE: account_plot(accounts, decision.verdict.rate)}
    write_atomically(folder / HTML, as_page(document, images))
    write_atomically(folder / PDF, typeset(document, images, paper=paper))
