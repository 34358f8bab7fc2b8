"""The report of an audit by coins: coins.html and coins.pdf beside its coins.json."""

from __future__ import annotations

from metav_audit.evidence import Attested, dither_attested
from metav_audit.files import write_atomically
from metav_audit.progress import printable
from metav_audit.report.formats import Paper
from metav_audit.verdict import AccountFinding, AuditFolder
from metav_audit.verdict.coin_folder import CoinDecision

HTML, PDF = "coins.html", "coins.pdf"


def write_coin_reports(
    decision: CoinDecision, folder: AuditFolder, *, attested: Attested | None = None, paper: Paper = "a4"
) -> None:
    """Write the report's pages.

    Args:
        decision: what they say.
        folder: where they go.
        attested: what the key's commitment is worth; found out where None.
        paper: the PDF's.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    from metav_audit.report.as_html import as_page
    from metav_audit.report.as_pdf import typeset
    from metav_audit.report.figures.accounts import account_plot
    from metav_audit.report.layout.coins import FIGURE, lay_out_coins

    document = lay_out_coins(decision, attested or dither_attested(decision.plan))
    accounts = tuple(
        AccountFinding(
            printable(one.account), one.asked, one.asked, one.answered, nearness=one.statistic, p_value=one.adjusted
        )
        for one in decision.verdict.findings
    )
    images = {FIGURE: account_plot(accounts, decision.verdict.rate)}
    write_atomically(folder / HTML, as_page(document, images))
    write_atomically(folder / PDF, typeset(document, images, paper=paper))
