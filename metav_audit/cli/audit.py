"""``metav-audit audit``: query endpoints, journal, decide and report."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import clear, complain, echo
from metav_audit.cli.lines import Lines, exit_code

if TYPE_CHECKING:
    from datetime import datetime

    from metav_audit.audit import Progress
    from metav_audit.report import Paper
    from metav_audit.verdict import Controls


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("endpoints", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("audits"), show_default=True,
              help="Folder for the audits, one folder an endpoint.")  # fmt: skip
@click.option("--beside", metavar="BUNDLE", type=click.Path(path_type=Path), multiple=True,
              help="Another owner's bundle of the same task, for the same endpoints; repeatable.")  # fmt: skip
@click.option("--new-run", is_flag=True, help="Ask everything anew, in OUT/<the time>: for schedules.")
@click.option("--control", metavar="NAME|MODEL",
              help="Endpoint or model that must come out as a match, or the run counts for nothing.")  # fmt: skip
@click.option("--blind-controls", "--controls", "blind", metavar="FILE", type=click.Path(path_type=Path),
              help="Models a third party calls independent, scored like the suspects.")  # fmt: skip
@click.option("--stop-early", is_flag=True,
              help="Look after an eighth, a quarter and half of the queries, and end where it is clear.")  # fmt: skip
@click.option("--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
              help="Variable that may be sent, or aws-credentials, google-credentials, azure-credentials, which may be "
              "used, for HOST alone if named; repeatable.")  # fmt: skip
@click.option("--allow-python", is_flag=True, help="Endpoints of ENDPOINTS may be Python functions, which run here.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Endpoints asked at once.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent and what it may cost; send nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How verdicts are printed, one line an endpoint.")  # fmt: skip
@click.option("--write", "files", metavar="FILE", type=click.Path(path_type=Path), multiple=True,
              help="Write the run for other programs: .sarif, .junit.xml or .prom; repeatable.")  # fmt: skip
@click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True, help="The PDFs' paper.")
def command(
    bundle: Path,
    endpoints: Path,
    out: Path,
    beside: tuple[Path, ...],
    new_run: bool,
    control: str | None,
    blind: Path | None,
    stop_early: bool,
    secrets: tuple[str, ...],
    allow_python: bool,
    parallel: int,
    dry_run: bool,
    form: str,
    files: tuple[Path, ...],
    paper: Paper,
) -> int:
    """Ask the APIs of ENDPOINTS the fingerprint of BUNDLE, and decide.

    ENDPOINTS is a TOML file with a table [endpoints.NAME] for each API. Each
    gets a folder of its own with the bundle, the transcript, the verdict and
    the reports; OUT/summary.csv, .html and .pdf put several endpoints side by
    side. Running the same command again asks only what is still open.
    An endpoint file takes no environment variable and no cloud's credentials
    but those of --secret, and runs no Python without --allow-python; one of
    blind controls, a third party's, takes variables of --secret NAME@HOST
    alone, no cloud's credentials, and never runs any.
    A table [operator] says who asks and by what authority, and names the key
    that seals the audit at its end.

    --control names an endpoint of ENDPOINTS that serves your own model, or a
    MODEL as 'metav-audit serve' takes it, which is then served on this machine
    while the audit lasts and audited as "control". It must come out as a match:
    otherwise the verdicts of this run do not stand.

    --blind-controls is an endpoint file of models that a third party calls
    independent, or a .json or .npz file of their answers. They are scored by
    the suspect's own rule; with fewer than 20, or with more matches than
    promised, no verdict is given.

    --beside audits the same endpoints with more bundles, one after the other,
    each into OUT/NAME@BUNDLE. Inputs that they have in common, natural ones
    above all, are asked once, and the summary corrects for all of them.

    --stop-early asks fewer queries where the answer is clear, and keeps the
    promised error rates over all looks together; it ends early with a match or
    no match alone. For evidence ask all, which finds a little more.

    BUNDLE may be an integrity plan of 'metav-audit fit --mode integrity': then
    it is decided whether the endpoint still serves what was enrolled.

    --write leaves a file whose ending names its format: .sarif (SARIF 2.1.0),
    .junit.xml or .xml (JUnit), .prom (Prometheus). It is written whatever the
    exit code, once every endpoint has been asked.

    Exit code: 1 a match (integrity: changed), whatever else failed; 4 the endpoint could not be
    asked, or the control failed; 5 some of several endpoints failed and none is
    a match; 3 inconclusive; 0 no match (unchanged). A control that matches does not count.
    """
    from metav_audit.audit import Grant, control_endpoints, earlier_audits, load_endpoints, with_control
    from metav_audit.bundle import FingerprintBundle, planned_places
    from metav_audit.bundle.integrity import is_integrity_plan
    from metav_audit.casework import audit_and_report
    from metav_audit.cli.beside import Several
    from metav_audit.cli.ending import leave_traceback
    from metav_audit.cli.integrity import audit_plan
    from metav_audit.cli.outputs import Outputs
    from metav_audit.cli.stamping import sealer_of
    from metav_audit.errors import FaultError

    grant = Grant(frozenset(secrets), allow_python)
    run = _now().strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    folder = out / run if new_run else out
    if is_integrity_plan(bundle):
        unfit = {"--control": bool(control), "--blind-controls": bool(blind), "--stop-early": stop_early,
                 "--write": bool(files), "--beside": bool(beside)}  # fmt: skip
        lines = Lines(form, None, run, _now)
        return audit_plan(bundle, endpoints, folder, grant, lines, form=form, paper=paper, dry_run=dry_run, unfit=unfit)
    if beside:
        if control is not None or blind is not None or files:
            raise click.UsageError(
                "--control, --blind-controls and --write are of one bundle: leave them out beside others, or audit "
                "that bundle in a run of its own."
            )
        return Several.load((bundle, *beside), endpoints, grant).audit(
            Lines(form, None, run, _now), folder, out, dry_run=dry_run, paper=paper, parallel=parallel,
            progress=_tell, stop_early=stop_early,
        )  # fmt: skip
    outputs = Outputs(files, endpoints)
    fingerprint = FingerprintBundle.load(bundle)
    suspects, sealer = load_endpoints(endpoints, fingerprint.task, grant), sealer_of(endpoints)
    outputs.locate(suspects)
    with ExitStack() as stack:
        if control is not None:
            suspects = stack.enter_context(with_control(control, suspects, bundle, fingerprint.task, folder))
        name = suspects[0].name if control is not None else None
        lines = Lines(form, name, run, _now)
        if dry_run:
            for suspect in [*suspects, *(control_endpoints(blind, fingerprint, grant) if blind else ())]:
                queries = len(fingerprint.inputs)
                echo(lines.outlook(suspect, queries, planned_places(fingerprint) - queries))
            return 0
        case = audit_and_report(
            fingerprint, suspects, folder, control=name, blind=blind, sealer=sealer, paper=paper, parallel=parallel,
            finish=lines.finish, gathered=_count, complain=complain, progress=_tell, grant=grant,
            stop_early=stop_early, earlier=earlier_audits(out, fingerprint, [folder / each.name for each in suspects]),
        )  # fmt: skip
    code = outputs.write(case, fingerprint, run, _now(), exit_code(case))
    faults = [each.error for each in case.results if isinstance(each.error, FaultError)]
    if faults:
        leave_traceback(faults[0])
    return code


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _count(controls: Controls) -> None:
    clear()
    echo(f"{len(controls.models)} blind controls answered", err=True)


def _tell(progress: Progress) -> None:
    """Show progress on a terminal; elsewhere only what is worth reading afterwards."""
    if progress.final:
        clear()
        echo(f"{progress.endpoint}: {progress.note}", err=True)
    elif sys.stderr.isatty():
        again = f" ({progress.retries} of them retries)" if progress.retries else ""
        told = f"{progress.answered} of {progress.queries} answered, {progress.requests} requests{again}"
        counts = f"{progress.endpoint}: {told}"
        clear()
        echo(f"{counts}; {progress.note}"[:200] if progress.note else counts, err=True, nl=bool(progress.note))
