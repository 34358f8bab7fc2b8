"""What ``audit`` and ``verify`` do where they are given an integrity plan, or the folder of its audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metav_audit.cli.echo import complain, echo, echo_json
from metav_audit.cli.lines import Lines, gravest, step_line
from metav_audit.cli.plans import tell

if TYPE_CHECKING:
    from metav_audit.audit import Grant
    from metav_audit.report import Paper
    from metav_audit.verdict import AuditFolder
    from metav_audit.verdict.integrity import IntegrityVerdict
    from metav_audit.verify import Step

UNCHECKED = "not authenticated: an integrity audit is not sealed; whoever made the folder could have made all of it"


def audit_plan(
    path: Path,
    endpoints: Path,
    out: Path,
    grant: Grant,
    lines: Lines,
    *,
    form: str,
    paper: Paper,
    dry_run: bool,
    unfit: Mapping[str, bool],
) -> int:
    """Audit endpoints one after the other by an integrity plan, print a line each, and return the gravest exit code.

    Args:
        path: the plan's file.
        endpoints: the endpoint file.
        out: the folder of the audits' folders.
        grant: what an endpoint file may take of this machine.
        lines: says what would be sent.
        form: "text" or "json".
        paper: the PDFs'.
        dry_run: whether only to say what would be sent.
        unfit: options that make no sense here, and whether they are given.

    Raises:
        ConfigurationError: such an option is given.
    """
    from metav_audit.audit import load_endpoints
    from metav_audit.bundle import planned_places
    from metav_audit.bundle.integrity import IntegrityPlan
    from metav_audit.casework import audit_integrity
    from metav_audit.errors import ConfigurationError, MetavAuditError

    given = [name for name, is_given in unfit.items() if is_given]
    if given:
        raise ConfigurationError(f"{given[0]} is for bundles: {path} is an integrity plan; leave it out")
    plan = IntegrityPlan.load(path)
    outcomes, errors = [], []
    for endpoint in load_endpoints(endpoints, plan.task, grant):
        if dry_run:
            echo(lines.outlook(endpoint, len(plan.inputs), planned_places(plan) - len(plan.inputs)))
            continue
        try:
            verdict = audit_integrity(plan, endpoint, out, paper=paper, progress=tell).verdict
        except MetavAuditError as error:
            complain(str(error))
            errors.append(error)
            continue
        outcomes.append(verdict.outcome.value)
        if form == "json":
            echo_json({**verdict.to_json(), "folder": str(out / endpoint.name), "error": None})
        else:
            _tell(verdict, out / endpoint.name)
    return gravest(outcomes, errors, len(outcomes) + len(errors))


def verify_plan(folder: AuditFolder, form: str) -> int:
    """Verify the folder of an integrity audit, print a line a step, and return 6 where all hold, or 4."""
    from metav_audit.verify import verify_integrity

    steps = verify_integrity(folder)
    passed = all(step.passed for step in steps)
    if form == "json":
        echo_json({"passed": passed, "authentic": False, "authenticity": UNCHECKED, "steps": list(map(_json, steps))},
                  indent=2)  # fmt: skip
    else:
        for line in (*map(step_line, steps), UNCHECKED):
            echo(line)
    return 6 if passed else 4


def _json(step: Step) -> dict[str, object]:
    return {
        "number": step.number, "name": step.name, "status": step.status, "passed": step.passed, "detail": step.detail,
    }  # fmt: skip


def _tell(verdict: IntegrityVerdict, folder: Path) -> None:
    score = "" if verdict.score is None else f"new answers {verdict.score:.1%}, p = {verdict.p_value:.4g} over "
    asked = f"{verdict.answered} of {verdict.queries} queries answered, {verdict.requests} requests"
    numbers = f"{score}{verdict.sessions} sessions, {asked}, seen through: {verdict.view}"
    echo(f"{verdict.endpoint}: {verdict.outcome.value} ({numbers}) -> {folder}")
    for reason in verdict.reasons if verdict.outcome.value == "inconclusive" else ():
        echo(f"  {reason}")
