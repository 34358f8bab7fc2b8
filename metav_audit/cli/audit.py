"""``metav-audit audit``: query endpoints, journal, decide and report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.errors import MetavAuditError

if TYPE_CHECKING:
    from metav_audit.audit import Endpoint, Progress
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.verdict import Verdict

_EXIT_CODES = {"match": 1, "no_match": 0, "inconclusive": 3}
_GRAVITY = (0, 3, 1, 2, 4)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("endpoints", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("audits"), show_default=True,
              help="Folder for the audits, one folder an endpoint.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How verdicts are printed, one line an endpoint.")  # fmt: skip
def command(bundle: Path, endpoints: Path, out: Path, form: str) -> int:
    """Ask the APIs of ENDPOINTS the fingerprint of BUNDLE, and decide.

    ENDPOINTS is a TOML file with a table [endpoints.NAME] for each API. Each
    gets a folder of its own with the bundle, the transcript, the verdict and
    the reports. Running the same command again asks only what is still open.

    Exit code: the gravest of all endpoints; 0 no match, 1 match,
    3 inconclusive, 4 an endpoint could not be asked.
    """
    from metav_audit.audit import load_endpoints, prepare_folder
    from metav_audit.bundle import FingerprintBundle

    fingerprint = FingerprintBundle.load(bundle)
    suspects = load_endpoints(endpoints, fingerprint.task)
    # Whatever is wrong on this side stops everything before anything is sent.
    for suspect in suspects:
        prepare_folder(fingerprint, suspect, out / suspect.name)
    codes = [_audit(fingerprint, suspect, out / suspect.name, form) for suspect in suspects]
    return max(codes, key=_GRAVITY.index)


def _audit(bundle: FingerprintBundle, endpoint: Endpoint, folder: Path, form: str) -> int:
    """Audit one endpoint; its error is one line on stderr, and no matter for the other endpoints."""
    from metav_audit.audit import audit_into_folder
    from metav_audit.report import write_reports

    try:
        verdict = audit_into_folder(bundle, endpoint, folder, progress=_tell)
        write_reports(folder)
    except MetavAuditError as error:
        _clear()
        click.echo(f"metav-audit: {error}", err=True)
        return error.exit_code
    _clear()
    click.echo(_line(verdict, folder, form))
    return _EXIT_CODES[verdict.outcome.value]


def _line(verdict: Verdict, folder: Path, form: str) -> str:
    if form == "json":
        return json.dumps({**verdict.to_json(), "folder": str(folder)}, ensure_ascii=False, allow_nan=False)
    numbers = [f"{verdict.answered} of {verdict.queries} queries answered", f"{verdict.requests} requests"]
    if verdict.p_value is not None:
        numbers = [f"score {verdict.score:.4f}", f"p = {verdict.p_value:.4f}", *numbers]
    return f"{verdict.endpoint}: {verdict.outcome.value} ({', '.join(numbers)}) -> {folder}"


def _tell(progress: Progress) -> None:
    """Show progress on a terminal; elsewhere only what is worth reading afterwards."""
    if progress.final:
        _clear()
        click.echo(f"{progress.endpoint}: {progress.note}", err=True)
    elif sys.stderr.isatty():
        counts = (
            f"{progress.endpoint}: {progress.answered} of {progress.queries} answered, {progress.requests} requests"
        )
        _clear()
        click.echo(f"{counts}; {progress.note}"[:200] if progress.note else counts, err=True, nl=bool(progress.note))


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
