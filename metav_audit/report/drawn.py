"""The reports of audits whose null is drawn again: coins.html and coins.pdf, served.html and served.pdf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metav_audit.evidence import Attested, dither_attested, served_sentence
from metav_audit.files import write_atomically
from metav_audit.progress import printable
from metav_audit.report.formats import Paper
from metav_audit.verdict import AccountFinding, AuditFolder
from metav_audit.verdict.drawn import DrawnVerdict
from metav_audit.verdict.drawn_folder import CoinDecision, ServedDecision

if TYPE_CHECKING:
    from metav_audit.report.document import Document

COINS_HTML, COINS_PDF = "coins.html", "coins.pdf"
SERVED_HTML, SERVED_PDF = "served.html", "served.pdf"


def write_coin_reports(
    decision: CoinDecision, folder: AuditFolder, *, attested: Attested | None = None, paper: Paper = "a4"
) -> None:
    """Write the pages of an audit by coins.

    Args:
        decision: what they say.
        folder: where they go.
        attested: what the key's commitment is worth; found out where None.
        paper: the PDF's.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    from metav_audit.report.layout.coins import FIGURE, lay_out_coins

    document = lay_out_coins(decision, attested or dither_attested(decision.plan))
    _write(document, FIGURE, decision.verdict, folder, (COINS_HTML, COINS_PDF), paper)


def write_served_reports(
    decision: ServedDecision, folder: AuditFolder, operator: Mapping[str, str], *, paper: Paper = "a4"
) -> None:
    """Write the pages of an audit of served answers.

    Args:
        decision: what they say.
        folder: where they go.
        operator: the auditor's words; since when the suspect is known is among them.
        paper: the PDF's.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    from metav_audit.report.layout.served import FIGURE, lay_out_served

    document = lay_out_served(decision, served_sentence(decision.plan, operator))
    _write(document, FIGURE, decision.verdict, folder, (SERVED_HTML, SERVED_PDF), paper)


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
