"""metav-audit log seal FILES -o OUT; metav-audit log check OUT."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo, echo_table
from metav_audit.cli.stamping import stamp_options, stamper_of

if TYPE_CHECKING:
    from metav_audit.transcript.log import SealedLog, Sealing

_COLUMN = "Column, a dotted path, or JMESPath; @ is the whole record."


@click.group()
def command() -> None:
    """Keep the owner's request log as evidence.

    Whoever extracts a model through its API has to ask it. The log of requests
    names what each account asked; a bundle by 'fit --log' asks a suspect the same.
    """


@command.command()
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The sealed log's folder.")
@click.option("--project", type=click.Path(path_type=Path), help="Whose [task] the requests are of.")
@click.option("--texts", is_flag=True, help="The requests are prompts, the answers texts: a language model's log.")
@click.option("--time", default="time", show_default=True, help=_COLUMN)
@click.option("--account", default="account", show_default=True, help="The same, of who asked; a pseudonym will do.")
@click.option("--input", default="input", show_default=True, help="The same, of what was sent.")
@click.option("--answer", default="answer", show_default=True, help="The same, of what was served.")
@click.option("--model", default="model", show_default=True, help="With --texts: of the model's version.")
@click.option("--sampler", default="sampler", show_default=True, help="With --texts: of how answers were drawn.")
@click.option("--temperature", default="temperature", show_default=True, help="With --texts: of the temperature.")
@click.option("--scores", default=None, help="Form of the scores served: probability (usual), percent, logit ...")
@click.option("--utc", is_flag=True, help="Times without a zone are UTC; without this they are left out.")
@click.option("--eight-bit", is_flag=True, help="Pictures given as numbers are 0 to 255.")
@click.option("--key", help="Signs the log's head: a path, or env:NAME for a variable that holds its PEM.")
@stamp_options
def seal(
    files: tuple[str, ...],
    output: Path,
    project: Path | None,
    texts: bool,
    time: str,
    account: str,
    input: str,  # noqa: A002 - the option's name
    answer: str,
    model: str,
    sampler: str,
    temperature: str,
    scores: str | None,
    utc: bool,
    eight_bit: bool,
    key: str | None,
    tsa: str | None,
    tsa_cert: Path | None,
) -> None:
    """Seal the request log in FILES, or add its days to OUT.

    FILES are JSON lines, CSV or Parquet, .gz behind the name or not, folders of
    them, or addresses (s3://...). An input is a list of numbers in the task's
    range, a row of the task's table, or a PNG file in base64; an answer is a
    label or the scores served; a time is ISO 8601 or seconds since 1970. With
    --texts, in the place of --project, both are texts of any characters, and a
    record names the model's version, the sampler and the temperature as well.
    Records that fit none of this are left out, counted and named in
    OUT/broken.jsonl. Killed, the same command goes on where it was.

    A day that is sealed stays as it was: give whole days. Sign and time-stamp
    the log at once, and every day after: it counts from then on. The same
    command again, with nothing new to seal, signs nothing anew.

    Exit code: 0, or 4 where no record of FILES fits.
    """
    from datetime import UTC, datetime

    from metav_audit.evidence import is_sealed, read_key, seal_head
    from metav_audit.progress import CountLine
    from metav_audit.task import ScoreKind, read_task
    from metav_audit.transcript.log import Columns, LogFormat, find_sources, seal_log

    if key is None and tsa is not None:
        raise click.UsageError("--tsa goes with --key: what is time-stamped is the signed head of the log.")
    signing, stamper = read_key(key, os.environ) if key else None, stamper_of(tsa, tsa_cert)
    if texts is (project is not None):
        raise click.UsageError("Say what the requests are: --project, whose task they are of, or --texts.")
    task = None if project is None else read_task(project)
    kind = ScoreKind(scores) if scores else task.output.score_kinds[0] if task else ScoreKind.PROBABILITY
    log = LogFormat(task, Columns(time, account, input, answer, model, sampler, temperature), kind, utc, eight_bit)
    sealed, done = seal_log(find_sources(files), log, output, CountLine("records read"))
    echo(f"{output}  {len(sealed.days)} days, {sealed.count} rows, head {sealed.head}")
    echo(f"{done.rows} rows added, {done.broken} records left out: {output / 'broken.jsonl'}", err=True)
    if not done.rows:
        _check_known(sealed, done)
    if signing is not None and not done.rows and is_sealed(sealed, stamped=stamper is not None):
        echo("nothing new: the log is signed as it stands", err=True)
        return
    if signing is None:
        echo("warning: without --key and --tsa nothing shows when this log was there", err=True)
        return
    path, _ = seal_head(sealed, signing, claimed_at=datetime.now(UTC), stamper=stamper)
    echo(f"signed{' and time-stamped' if stamper else ''}: {path}", err=True)


def _check_known(log: SealedLog, done: Sealing) -> None:
    """Raise EvidenceError where an export of which no row was added is none that the log has already."""
    from metav_audit.errors import EvidenceError
    from metav_audit.transcript.log import SEALED_BEFORE

    if not done.broken and not log.days:
        raise EvidenceError("the files hold no record: there is nothing to seal")
    if done.why and done.commonest != SEALED_BEFORE:
        fields = f": the records have the fields {', '.join(done.fields)}" if done.fields else ""
        raise EvidenceError(
            f"{done.broken} of {done.broken} records left out, {done.why[done.commonest]} of them for: "
            f"{done.commonest}{fields}"
        )


@command.command()
@click.argument("bundle", type=click.Path(path_type=Path))
def asked(bundle: Path) -> None:
    """List the requests of the log whose inputs BUNDLE asks, as CSV.

    They and their proofs are all of the log that leaves your house, with the
    number of rows a day. Look at them before anything is asked.
    """
    import csv
    import io

    from metav_audit.bundle import FingerprintBundle
    from metav_audit.errors import ConfigurationError
    from metav_audit.transcript.log import AskedLog

    told = FingerprintBundle.load(bundle).provenance.get("log")
    if told is None:
        raise ConfigurationError(f"{bundle} asks nothing of a request log: 'metav-audit fit --log' makes one that does")
    log = AskedLog.from_json(told)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("query", "account", "at", "day", "row", "answer"))
    for number, (each, row) in enumerate(zip(log.rows, log.read_rows(), strict=True)):
        table.writerow((number, row.account, row.at, each.day, each.place, row.answer))
    echo_table(text.getvalue())


@command.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--signer", help="The key id that is expected, or the public key's path.")
@click.option("--roots", type=click.Path(path_type=Path), metavar="PEM", help="The authority's root certificates.")
def check(log: Path, signer: str | None, roots: Path | None) -> int:
    """Check a sealed LOG offline: every row, the chain of days, the seals.

    Exit code: 0 all holds, 4 something does not.
    """
    from metav_audit.evidence import check_log_seals, read_certificates, read_signer
    from metav_audit.transcript.log import open_log

    sealed = open_log(log)
    sealed.check()
    echo(f"passed  {len(sealed.days)} days, {sealed.count} rows, head {sealed.head}")
    seals = check_log_seals(
        sealed,
        signer=read_signer(signer) if signer else None,
        roots=read_certificates(roots) if roots else None,
    )
    for each in seals:
        for finding in each.findings.findings:
            echo(f"{'passed' if finding.passed else 'FAILED'}  {each.name}, {finding.name}: {finding.detail}")
    if not seals:
        echo("no seal: nothing shows when this log was there", err=True)
    return 0 if all(each.findings.passed for each in seals) else 4
