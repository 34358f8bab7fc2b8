"""``metav-audit enrol``: what an approved deployment answers, over several sessions."""

from __future__ import annotations

from pathlib import Path

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.plans import tell


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.argument("endpoints", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="Folder for the sessions' transcripts; PLAN.sessions by default.")  # fmt: skip
@click.option("--sessions", type=click.IntRange(1, 100), default=1, show_default=True,
              help="So many, one after the other; drift over days shows in those of several days.")  # fmt: skip
@click.option("--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
              help="Variable that may be sent, or aws-credentials, google-credentials, azure-credentials, which may be "
              "used, for HOST alone if named; repeatable.")  # fmt: skip
@click.option("--allow-python", is_flag=True, help="Endpoints of ENDPOINTS may be Python functions, which run here.")
def command(
    plan: Path, endpoints: Path, out: Path | None, sessions: int, secrets: tuple[str, ...], allow_python: bool
) -> None:
    """Ask the approved deployments of ENDPOINTS what PLAN holds, and add a session of each to PLAN.

    PLAN comes from 'metav-audit fit --mode integrity'. Five sessions are needed
    before 'metav-audit audit PLAN ENDPOINTS' says anything, 99 for a promise of
    1 % that is proven: enrol on several days, from a schedule. Whatever you call
    the same, other hardware, half precision, another runtime, enrol it, too; all
    endpoints of ENDPOINTS are.

    Exit code: 0 all sessions were added, 4 an endpoint could not be asked; what
    was added before stays.
    """
    from metav_audit.audit import Grant, enrol_session, load_endpoints
    from metav_audit.bundle.integrity import IntegrityPlan

    told = IntegrityPlan.load(plan)
    place = out or plan.with_name(f"{plan.name}.sessions")
    for endpoint in load_endpoints(endpoints, told.task, Grant(frozenset(secrets), allow_python)):
        for _ in range(sessions):
            told = told.with_sessions([enrol_session(told, endpoint, place, progress=tell)])
            told.save(plan)
    first, last = told.sessions[0].at, told.sessions[-1].at
    echo(f"{plan}  {len(told.sessions)} sessions, from {first} to {last}, SHA-256 {told.sha256}")
