"""What commands that audit by a plan have in common, coins and served answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
    from metav_audit.audit import Endpoint, Progress

_GRAVITY = (0, 3, 1, 2, 4)
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
Command = TypeVar("Command", bound=Callable[..., Any])


class _Finding(Protocol):
    @property
    def account(self) -> str: ...
    @property
    def p_value(self) -> float: ...
    @property
    def adjusted(self) -> float: ...


class PlanVerdict(Protocol):
    """What verdicts by a plan have in common."""

    @property
    def accounts(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def findings(self) -> Sequence[_Finding]: ...  # noqa: D102
    @property
    def outcome(self) -> Any: ...  # noqa: D102
    @property
    def endpoint(self) -> str: ...  # noqa: D102
    @property
    def answered(self) -> int: ...  # noqa: D102
    @property
    def queries(self) -> int: ...  # noqa: D102
    @property
    def requests(self) -> int: ...  # noqa: D102


def audit_options(command: Command) -> Command:
    """Give a command the arguments PLAN and ENDPOINTS, and the options of an audit by a plan."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def audit_each(endpoints: Iterable[Endpoint], audit: Callable[[Endpoint], PlanVerdict], out: Path) -> int:
    """Audit endpoints one after the other, print a line each, and return the gravest exit code."""
    from metav_audit.cli.echo import complain
    from metav_audit.errors import MetavAuditError

    codes = []
    for endpoint in endpoints:
        try:
            verdict = audit(endpoint)
        except MetavAuditError as error:
            complain(str(error))
            codes.append(error.exit_code)
        else:
            echo(_line(verdict, out / endpoint.name))
            codes.append(1 if verdict.accounts else 3)
    return max(codes, key=_GRAVITY.index)


def tell(progress: Progress) -> None:
    """Print what of an audit's progress is worth reading afterwards."""
    if progress.final:
        echo(f"{progress.endpoint}: {progress.note}", err=True)


def _line(verdict: PlanVerdict, folder: Path) -> str:
    least = min(verdict.findings, key=lambda each: each.p_value)
    who = ", ".join(verdict.accounts) or f"nearest {least.account}"
    numbers = f"p = {least.p_value:.4g}, corrected {least.adjusted:.4g}"
    told = f"{verdict.answered} of {verdict.queries} inputs answered, {verdict.requests} requests"
    return f"{verdict.endpoint}: {verdict.outcome.value} ({who}; {numbers}; {told}) -> {folder}"
