"""What commands that audit by a plan have in common, coins and served answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
    from metav_audit.audit import Endpoint, Progress
    from metav_audit.transcript.log import SealedLog
    from metav_audit.verdict import AuditFolder
    from metav_audit.verdict.drawn import DrawnVerdict
    from metav_audit.verify import Expected, Step

_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.argument("plan", type=click.Path(path_type=Path)),
    click.argument("endpoints", type=click.Path(path_type=Path)),
    click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("audits"), show_default=True,
                 help="Folder for the audits, one folder an endpoint."),
    click.option("--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
                 help="Variable that may be sent, or aws-credentials, google-credentials, azure-credentials, which may "
                 "be used, for HOST alone if named; repeatable."),
    click.option("--allow-python", is_flag=True,
                 help="Endpoints of ENDPOINTS may be Python functions, which run here."),
    click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True,
                 help="The PDFs' paper."),
)  # fmt: skip
_KNOWN: Sequence[Callable[[Any], Any]] = (
    click.argument("folder", metavar="DIR", type=click.Path(path_type=Path)),
    click.option("--log", type=click.Path(path_type=Path), help="The owner's sealed log, if they show it."),
    click.option("--signer", metavar="KEY", help="Who should have signed: a key id, or a public key's PEM file."),
    click.option("--tsa-cert", type=click.Path(path_type=Path), metavar="PEM",
                 help="Root certificates that you trust."),
)  # fmt: skip
UNKNOWN = (
    "NOT AUTHENTICATED: it may be anyone's. Name what you know from elsewhere: --log DIR (the owner's sealed log), "
    "--signer KEY (who signed)"
)
Command = TypeVar("Command", bound=Callable[..., Any])


def audit_options(command: Command) -> Command:
    """Give a command the arguments PLAN and ENDPOINTS, and the options of an audit by a plan."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def audit_each(endpoints: Iterable[Endpoint], audit: Callable[[Endpoint], DrawnVerdict[Any]], out: Path) -> int:
    """Audit endpoints one after the other, print a line each, and return the gravest exit code."""
    from metav_audit.cli.echo import complain
    from metav_audit.cli.lines import gravest
    from metav_audit.errors import MetavAuditError

    outcomes, errors = [], []
    for endpoint in endpoints:
        try:
            verdict = audit(endpoint)
        except MetavAuditError as error:
            complain(str(error))
            errors.append(error)
        else:
            echo(_line(verdict, out / endpoint.name))
            outcomes.append(verdict.outcome.value)
    return gravest(outcomes, errors, len(outcomes) + len(errors))


def plan_at(path: Path) -> Path:
    """Return the path that was named for a plan; raise ConfigurationError where it is plainly none."""
    from metav_audit.bundle.guess import refuse_what_is_no_plan

    refuse_what_is_no_plan(path)
    return path


def verify_options(command: Command) -> Command:
    """Give a command the argument DIR, and what may be known from elsewhere."""
    for option in reversed(_KNOWN):
        command = option(command)
    return command


def verify_all(
    verify: Callable[[AuditFolder, Expected, SealedLog | None], Sequence[Step]],
    folder: Path,
    log: Path | None,
    signer: str | None,
    tsa_cert: Path | None,
) -> int:
    """Verify a folder, print a line a step; return 4 where one fails, 6 where all rests on the folder alone, or 0."""
    from metav_audit.cli.lines import step_line
    from metav_audit.evidence import read_certificates, read_signer
    from metav_audit.transcript.log import open_log
    from metav_audit.verdict import AuditFolder
    from metav_audit.verify import Expected

    roots = read_certificates(tsa_cert) if tsa_cert else None
    expected = Expected(owner=read_signer(signer) if signer else None, roots=roots)
    steps = verify(AuditFolder(folder), expected, open_log(log) if log else None)
    for step in steps:
        echo(step_line(step))
    if not all(step.passed for step in steps):
        return 4
    if log is None and signer is None:
        echo(UNKNOWN)
        return 6
    return 0


def tell(progress: Progress) -> None:
    """Print what of an audit's progress is worth reading afterwards."""
    if progress.final:
        echo(f"{progress.endpoint}: {progress.note}", err=True)


def _line(verdict: DrawnVerdict[Any], folder: Path) -> str:
    least = min(verdict.findings, key=lambda each: each.p_value)
    who = ", ".join(verdict.accounts) or f"nearest {least.account}"
    numbers = f"p = {least.p_value:.4g}, corrected {least.adjusted:.4g}"
    told = f"{verdict.answered} of {verdict.queries} inputs answered, {verdict.requests} requests"
    return f"{verdict.endpoint}: {verdict.outcome.value} ({who}; {numbers}; {told}) -> {folder}"
