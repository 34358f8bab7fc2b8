"""``metav-audit audit``: query endpoints, journal, decide and report."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.errors import MetavAuditError

if TYPE_CHECKING:
    from metav_audit.audit import Audited, ControlResult, Endpoint, Progress
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.evidence import Sealer
    from metav_audit.verdict import Verdict

_EXIT_CODES = {"match": 1, "no_match": 0, "inconclusive": 3}
_GRAVITY = (0, 3, 1, 2, 4)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("endpoints", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("audits"), show_default=True,
              help="Folder for the audits, one folder an endpoint.")  # fmt: skip
@click.option("--new-run", is_flag=True, help="Ask everything anew, in OUT/<the time>: for schedules.")
@click.option("--control", metavar="NAME|MODEL",
              help="Endpoint or model that must come out as a match, or the run counts for nothing.")  # fmt: skip
@click.option("--blind-controls", "--controls", "blind", metavar="FILE", type=click.Path(path_type=Path),
              help="Models a third party calls independent, scored like the suspects.")  # fmt: skip
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Endpoints asked at once.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent and what it may cost; send nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How verdicts are printed, one line an endpoint.")  # fmt: skip
def command(
    bundle: Path,
    endpoints: Path,
    out: Path,
    new_run: bool,
    control: str | None,
    blind: Path | None,
    parallel: int,
    dry_run: bool,
    form: str,
) -> int:
    """Ask the APIs of ENDPOINTS the fingerprint of BUNDLE, and decide.

    ENDPOINTS is a TOML file with a table [endpoints.NAME] for each API. Each
    gets a folder of its own with the bundle, the transcript, the verdict and
    the reports. Running the same command again asks only what is still open.
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

    Exit code: the gravest of all endpoints; 0 no match, 1 match,
    3 inconclusive, 4 an endpoint could not be asked, or the control failed. A
    control that matches does not count.
    """
    from metav_audit.audit import control_endpoints, load_endpoints, with_control
    from metav_audit.bundle import FingerprintBundle

    fingerprint = FingerprintBundle.load(bundle)
    suspects, sealer = load_endpoints(endpoints, fingerprint.task), _sealer(endpoints)
    folder = out / _stamp() if new_run else out
    with ExitStack() as stack:
        if control is not None:
            suspects = stack.enter_context(with_control(control, suspects, bundle, fingerprint.task, folder))
        if sealer is not None:
            # Who will seal the audit stands in its first record, before the first query.
            suspects = [each.signed_by(sealer.key.public.key_id) for each in suspects]
        told = _Told(form, suspects[0].name if control is not None else None, sealer)
        if dry_run:
            for suspect in [*suspects, *(control_endpoints(blind, fingerprint) if blind else ())]:
                click.echo(told.outlook(suspect, len(fingerprint.inputs)))
            return 0
        _audit(fingerprint, suspects, folder, parallel, told, blind)
    return told.exit_code()


def _audit(
    bundle: FingerprintBundle,
    endpoints: Sequence[Endpoint],
    folder: Path,
    parallel: int,
    told: _Told,
    blind: Path | None,
) -> None:
    from metav_audit.audit import audit_side_by_side, prepare_folder

    # Whatever is wrong on this side stops everything before anything is sent.
    for endpoint in endpoints:
        prepare_folder(bundle, endpoint, folder / endpoint.name)
    if blind is not None:
        _ask_controls(bundle, blind, folder, [endpoint.name for endpoint in endpoints], parallel)
    audit_side_by_side(bundle, endpoints, folder, parallel=parallel, finish=told.finish, progress=_tell)


def _ask_controls(bundle: FingerprintBundle, source: Path, folder: Path, names: Sequence[str], parallel: int) -> None:
    """Gather the blind controls' answers, and put them into each suspect's folder."""
    from metav_audit.audit import gather_controls, put_controls

    controls = gather_controls(bundle, source, folder, parallel=parallel, complain=_complain, progress=_tell)
    for name in names:
        put_controls(controls, folder / name)
    _clear()
    click.echo(f"{len(controls.models)} blind controls answered", err=True)


class _Told:
    """What is told of a run: a line an endpoint. The control's comes first, so that the others' say whether they stand.

    Args:
        form: "text" or "json".
        control: the control's name, or None.
        sealer: who seals the audits, or None.
    """

    def __init__(self, form: str, control: str | None, sealer: Sealer | None) -> None:
        self._form, self._control, self._sealer = form, control, sealer
        self._result: ControlResult | None = None
        self._codes: list[int] = []

    def exit_code(self) -> int:
        """Say at last whether the control failed, and return the exit code."""
        if self._result is not None and not self._result.passed:
            _complain(self._result.complaint)
            return 4
        return max(self._codes, default=0, key=_GRAVITY.index)

    def finish(self, audited: Audited) -> None:
        """Close an endpoint's folder and write its line; an error is a line on stderr, and no matter for the others."""
        from metav_audit.audit import ControlResult

        is_control = audited.endpoint.name == self._control
        if is_control:
            self._result = ControlResult.of(audited)
        try:
            if self._result is not None and not is_control:
                self._result.record(audited.folder)
            if audited.error is not None:
                raise audited.error
            _close(audited.folder, self._sealer)
        except MetavAuditError as error:
            _complain(str(error))
            self._codes.append(error.exit_code)
            return
        assert audited.verdict is not None
        _clear()
        click.echo(self._line(audited.verdict, audited.folder))
        if not is_control:
            self._codes.append(_EXIT_CODES[audited.verdict.outcome.value])

    def outlook(self, endpoint: Endpoint, queries: int) -> str:
        """Say what an audit would send at least and at most, and what that costs where a price is given."""
        limits, is_control = endpoint.limits, endpoint.name == self._control
        least, most = endpoint.requests_needed(queries), endpoint.budget(queries)
        # Nothing was asked yet, so nothing is known of the endpoint's speed: a second an answer is a round figure.
        seconds = max(least / limits.concurrency, least / limits.per_second if limits.per_second else 0.0)
        figures = {"endpoint": endpoint.name, "control": is_control, "url": endpoint.url, "queries": queries,
                   "requests": least, "requests_at_most": most, "seconds_at_a_second_an_answer": seconds,
                   "seconds_at_most": limits.wall_s}  # fmt: skip
        if limits.price is not None:
            figures |= {"cost": least * limits.price, "cost_at_most": most * limits.price}
        if self._form == "json":
            return json.dumps(figures)
        cost = f", cost {figures['cost']:g} to {figures['cost_at_most']:g}" if limits.price is not None else ""
        return (
            f"{self._name(endpoint.name)}: {queries} queries in {least} requests, {most} at most with retries, "
            f"about {seconds:.0f} s if an answer takes one, {limits.wall_s:g} s at most{cost}; nothing was sent"
        )

    def _line(self, verdict: Verdict, folder: Path) -> str:
        is_control = verdict.endpoint == self._control
        stands = None if self._result is None else self._result.passed
        if self._form == "json":
            more = {"folder": str(folder), "control": is_control, "control_passed": stands}
            return json.dumps({**verdict.to_json(), **more}, ensure_ascii=False, allow_nan=False)
        from metav_audit.weight import ratio_text

        numbers = [f"{verdict.answered} of {verdict.queries} queries answered", f"{verdict.requests} requests"]
        if verdict.log10_lr is not None:
            ratio = f"LR {ratio_text(verdict.log10_lr)}"
            numbers = [f"score {verdict.score:.4f}", ratio, f"p = {verdict.p_value:.4f}", *numbers]
        if verdict.view != "all classes":
            numbers.append(f"seen through: {verdict.view}")
        doubt = "" if is_control or stands in (None, True) else "; does not stand, the control failed"
        return f"{self._name(verdict.endpoint)}: {verdict.outcome.value} ({', '.join(numbers)}) -> {folder}{doubt}"

    def _name(self, endpoint: str) -> str:
        return f"{endpoint} (control)" if endpoint == self._control else endpoint


def _sealer(endpoints: Path) -> Sealer | None:
    """Take the key from the file's table [operator], if it names one."""
    import os

    from metav_audit.audit import load_operator

    operator = load_operator(endpoints)
    if operator.key is None:
        return None
    from metav_audit.cli.commit import stamper_of
    from metav_audit.evidence import Sealer, read_key

    return Sealer(read_key(operator.key, os.environ), stamper_of(operator.tsa, operator.tsa_cert))


def _close(folder: Path, sealer: Sealer | None) -> None:
    """Seal the audit, write its reports, and list the hashes of all its files."""
    from datetime import UTC, datetime

    from metav_audit.evidence import custody_of, seal_folder, write_sums
    from metav_audit.report import write_reports

    if sealer is not None:
        seal_folder(folder, sealer, datetime.now(UTC))
    write_reports(folder, custody_of)
    write_sums(folder)


def _complain(what: str) -> None:
    _clear()
    click.echo(f"metav-audit: {what}", err=True)


def _stamp() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")


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
