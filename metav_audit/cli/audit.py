"""``metav-audit audit``: query endpoints, journal, decide and report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.errors import MetavAuditError

if TYPE_CHECKING:
    from metav_audit.audit import Audited, Endpoint, Progress
    from metav_audit.verdict import Verdict

_EXIT_CODES = {"match": 1, "no_match": 0, "inconclusive": 3}
_GRAVITY = (0, 3, 1, 2, 4)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("endpoints", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("audits"), show_default=True,
              help="Folder for the audits, one folder an endpoint.")  # fmt: skip
@click.option("--new-run", is_flag=True, help="Ask everything anew, in OUT/<the time>: for schedules.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Endpoints asked at once.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent and what it may cost; send nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How verdicts are printed, one line an endpoint.")  # fmt: skip
def command(bundle: Path, endpoints: Path, out: Path, new_run: bool, parallel: int, dry_run: bool, form: str) -> int:
    """Ask the APIs of ENDPOINTS the fingerprint of BUNDLE, and decide.

    ENDPOINTS is a TOML file with a table [endpoints.NAME] for each API. Each
    gets a folder of its own with the bundle, the transcript, the verdict and
    the reports. Running the same command again asks only what is still open.

    Exit code: the gravest of all endpoints; 0 no match, 1 match,
    3 inconclusive, 4 an endpoint could not be asked.
    """
    from metav_audit.audit import audit_side_by_side, load_endpoints, prepare_folder
    from metav_audit.bundle import FingerprintBundle

    fingerprint = FingerprintBundle.load(bundle)
    suspects = load_endpoints(endpoints, fingerprint.task)
    if dry_run:
        for suspect in suspects:
            click.echo(_outlook(suspect, len(fingerprint.inputs), form))
        return 0
    folder = out / _stamp() if new_run else out
    # Whatever is wrong on this side stops everything before anything is sent.
    for suspect in suspects:
        prepare_folder(fingerprint, suspect, folder / suspect.name)
    codes: list[int] = []
    audit_side_by_side(
        fingerprint,
        suspects,
        folder,
        parallel=parallel,
        finish=lambda audited: codes.append(_finish(audited, form)),
        progress=_tell,
    )
    return max(codes, key=_GRAVITY.index)


def _finish(audited: Audited, form: str) -> int:
    """Write an endpoint's reports and its line; an error is one line on stderr, and no matter for the others."""
    from metav_audit.report import write_reports

    try:
        if audited.error is not None:
            raise audited.error
        write_reports(audited.folder)
    except MetavAuditError as error:
        _clear()
        click.echo(f"metav-audit: {error}", err=True)
        return error.exit_code
    assert audited.verdict is not None
    _clear()
    click.echo(_line(audited.verdict, audited.folder, form))
    return _EXIT_CODES[audited.verdict.outcome.value]


def _outlook(endpoint: Endpoint, queries: int, form: str) -> str:
    """Say what an audit would send at least and at most, and what that costs where a price is given."""
    limits = endpoint.limits
    least, most = endpoint.requests_needed(queries), endpoint.budget(queries)
    # Nothing was asked yet, so nothing is known of the endpoint's speed: a second an answer is a round figure.
    seconds = max(least / limits.concurrency, least / limits.per_second if limits.per_second else 0.0)
    figures = {"endpoint": endpoint.name, "url": endpoint.url, "queries": queries, "requests": least,
               "requests_at_most": most, "seconds_at_a_second_an_answer": seconds,
               "seconds_at_most": limits.wall_s}  # fmt: skip
    if limits.price is not None:
        figures |= {"cost": least * limits.price, "cost_at_most": most * limits.price}
    if form == "json":
        return json.dumps(figures)
    cost = f", cost {figures['cost']:g} to {figures['cost_at_most']:g}" if limits.price is not None else ""
    return (
        f"{endpoint.name}: {queries} queries in {least} requests, {most} at most with retries, "
        f"about {seconds:.0f} s if an answer takes one, {limits.wall_s:g} s at most{cost}; nothing was sent"
    )


def _stamp() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")


def _line(verdict: Verdict, folder: Path, form: str) -> str:
    if form == "json":
        return json.dumps({**verdict.to_json(), "folder": str(folder)}, ensure_ascii=False, allow_nan=False)
    numbers = [f"{verdict.answered} of {verdict.queries} queries answered", f"{verdict.requests} requests"]
    if verdict.p_value is not None:
        numbers = [f"score {verdict.score:.4f}", f"p = {verdict.p_value:.4f}", *numbers]
    if verdict.view != "all classes":
        numbers.append(f"seen through: {verdict.view}")
    return f"{verdict.endpoint}: {verdict.outcome.value} ({', '.join(numbers)}) -> {folder}"


def _tell(progress: Progress) -> None:
    """Show progress on a terminal; elsewhere only what is worth reading afterwards."""
    if progress.final:
        _clear()
        click.echo(f"{progress.endpoint}: {progress.note}", err=True)
    elif sys.stderr.isatty():
        again = f" ({progress.retries} of them retries)" if progress.retries else ""
        told = f"{progress.answered} of {progress.queries} answered, {progress.requests} requests{again}"
        counts = f"{progress.endpoint}: {told}"
        _clear()
        click.echo(f"{counts}; {progress.note}"[:200] if progress.note else counts, err=True, nl=bool(progress.note))


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
