"""``metav-audit enrol``: what an approved deployment answers, over several sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import complain, echo
from metav_audit.cli.plans import tell

if TYPE_CHECKING:
    from metav_audit.bundle.integrity import IntegrityPlan


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.argument("endpoints", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="Folder for the sessions' transcripts; PLAN.sessions by default.")  # fmt: skip
@click.option("--sessions", type=click.IntRange(1, 100), default=1, show_default=True,
              help="So many, one after the other; drift over days shows in those of several days.")  # fmt: skip
@click.option("--same", is_flag=True,
              help="Enrol also what an audit would call changed: I know that it is the same.")  # fmt: skip
@click.option("--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
              help="Variable that may be sent, or aws-credentials, google-credentials, azure-credentials, which may be "
              "used, for HOST alone if named; repeatable.")  # fmt: skip
@click.option("--allow-python", is_flag=True, help="Endpoints of ENDPOINTS may be Python functions, which run here.")
def command(
    plan: Path,
    endpoints: Path,
    out: Path | None,
    sessions: int,
    same: bool,
    secrets: tuple[str, ...],
    allow_python: bool,
) -> int:
    """Ask the approved deployments of ENDPOINTS what PLAN holds, and add a session of each to PLAN.

    PLAN comes from 'metav-audit fit --mode integrity'. Five sessions are needed
    before 'metav-audit audit PLAN ENDPOINTS' says anything, 99 for a promise of
    1 % that is proven: enrol on several days, from a schedule. Whatever you call
    the same, other hardware, half precision, another runtime, enrol it, too; all
    endpoints of ENDPOINTS are. From the sixth on a session that an audit would
    call changed is not enrolled without --same.

    Exit code: 0 all sessions were added, 4 an endpoint could not be asked or was
    not enrolled; the others' sessions are.
    """
    from metav_audit.audit import Grant, enrol_session, load_endpoints
    from metav_audit.bundle.integrity import IntegrityPlan, is_integrity_plan
    from metav_audit.errors import ConfigurationError, MetavAuditError

    if not is_integrity_plan(plan):
        raise ConfigurationError(
            f"{plan} is no integrity plan: name the file that 'metav-audit fit --mode integrity' wrote, then the "
            "endpoint file"
        )
    told = IntegrityPlan.load(plan)
    place, code = out or plan.with_name(f"{plan.name}.sessions"), 0
    for endpoint in load_endpoints(endpoints, told.task, Grant(frozenset(secrets), allow_python)):
        try:
            for _ in range(sessions):
                told = told.with_sessions([enrol_session(told, endpoint, place, same=same, progress=tell)])
                told.save(plan)
        except MetavAuditError as error:
            complain(str(error))
            code = error.exit_code
    echo(f"{plan}  {_count(told)}, SHA-256 {told.sha256}")
    return code


def _count(plan: IntegrityPlan) -> str:
    """Say how many sessions there are, over which time, and warn where that is short."""
    from datetime import datetime, timedelta

    if not plan.sessions:
        return "no session"
    moments = sorted(datetime.fromisoformat(each.at) for each in plan.sessions)
    if moments[-1] - moments[0] < timedelta(hours=1):
        echo(
            "warning: all sessions lie within an hour: how the host drifts over days is not in them, and may be told "
            "as a change",
            err=True,
        )
    many = f"{len(plan.sessions)} sessions" if len(plan.sessions) > 1 else "1 session"
    return f"{many}, from {plan.sessions[0].at} to {plan.sessions[-1].at}"
