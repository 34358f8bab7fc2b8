"""``metav-audit watch``: audit what is due, once, and tell what happened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import complain, echo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metav_audit.audit import Grant
    from metav_audit.report import Paper
    from metav_audit.watch.fleet import Fleet
    from metav_audit.watch.run import Done


@click.command()
@click.argument("fleet", type=click.Path(path_type=Path))
@click.option("--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
              help="Variable that may be sent, or a cloud's credentials that may be used; repeatable.")  # fmt: skip
@click.option("--allow-python", is_flag=True, help="Endpoints may be Python functions, which run here.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Hosts asked at once.")
@click.option("--dry-run", is_flag=True, help="Print what is due and what a month costs; send nothing.")
@click.option("--hello", is_flag=True, help="Send everybody who is told a message that nothing happened; ask nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How --dry-run prints.")  # fmt: skip
@click.option("--alarm", "alarms", multiple=True,
              type=click.Choice(["change", "lost", "recovered", "budget", "outdated"]),
              help="An event for which the exit code is 1, as for a match; repeatable.")  # fmt: skip
@click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True, help="The PDFs' paper.")
def command(
    fleet: Path,
    secrets: tuple[str, ...],
    allow_python: bool,
    parallel: int,
    dry_run: bool,
    hello: bool,
    form: str,
    alarms: tuple[str, ...],
    paper: Paper,
) -> int:
    """Audit the endpoints of FLEET that are due, tell what happened, and end.

    FLEET is a TOML file: tables [watches.NAME] name endpoint files, bundles and
    how often; [budgets] what a month may cost; [notify.NAME] who is told. Run it
    from cron, a systemd timer or any other scheduler, as often as you like: what
    is not due is not asked. Two at once share the work, and one that was killed
    is followed by the next, which goes on where it stopped.

    Each event is a line of JSON on stdout: match, change, lost, recovered,
    budget, outdated. What became of each audit is a line on stderr.

    --hello shows whether webhook and mail arrive, without waiting for an event;
    what does not take it is told, and the exit code is 4.

    Exit code: 1 an audit of this run matched, or an event of --alarm happened;
    4 an endpoint could not be asked; 5 some of several could not, and none
    matched; 3 inconclusive; 0 no match, or nothing was due.
    """
    import secrets as chance
    import time
    from datetime import UTC, datetime

    from metav_audit.audit import Grant
    from metav_audit.cli.stamping import sealer_of
    from metav_audit.watch.asking import open_fleet
    from metav_audit.watch.fleet import load_fleet
    from metav_audit.watch.once import Hands, watch_once
    from metav_audit.watch.outlook import outlook, outlook_lines

    laid, grant = load_fleet(fleet), Grant(frozenset(secrets), allow_python)
    opened = open_fleet(laid, grant, datetime.now(UTC).date())
    if hello:
        return _say_hello(laid, grant, chance.token_hex(16), time.time())
    if dry_run:
        from metav_audit.cli.echo import echo_json
        from metav_audit.watch.channels import open_channels

        open_channels(laid, grant, os.environ, echo)  # What is wrong there stops a run, too.
        found = outlook(laid, opened, time.time())
        if form == "json":
            echo_json(found.to_json())
        else:
            for line in outlook_lines(found):
                echo(line)
        return 0
    hands = Hands(time.time, lambda: chance.token_hex(16), echo, _tell, complain, sealer_of)
    happened, done = watch_once(laid, opened, grant, os.environ, hands, parallel=parallel, paper=paper)
    for line in corrected(done):
        echo(line, err=True)
    return _exit_code(done, any(event.kind in alarms for event in happened))


def _say_hello(fleet: Fleet, grant: Grant, uid: str, now: float) -> int:
    """Send a message that nothing happened; 4 where somebody did not take it."""
    from metav_audit.watch.channels import open_channels, say_hello

    channels = open_channels(fleet, grant, os.environ, echo)
    failed = say_hello(fleet, channels, uid, now, complain)
    echo(f"{len(channels) - 1 - failed} of {len(channels) - 1} who are told took a message; nothing was asked")
    return 4 if failed else 0


def _tell(done: Done) -> None:
    """Say what became of an audit."""
    plan, what = done.claim.plan, "another watcher's by now"
    if done.still:
        what = "nothing moved"
    elif done.error is not None:
        what = str(done.error)
    elif done.seen is not None:
        score = "" if done.seen.score is None else f", score {done.seen.score:.4f}"
        what = f"{done.seen.outcome.value} ({done.seen.answered} of {done.seen.queries} queries answered{score})"
    echo(f"{plan.endpoint} ({plan.bundle}): {what}; audit {done.claim.audit}", err=True)


def corrected(done: Sequence[Done]) -> Iterator[str]:
    """Say of each match what its p-value is worth among all audits of the run (Holm)."""
    from metav_audit.statistics import holm

    seen = [each for each in done if each.seen is not None]
    given = [1.0 if each.seen is None or (p := each.seen.p_value_match) is None else p for each in seen]
    for each, p in zip(seen, holm(given), strict=True):
        if len(seen) > 1 and each.seen is not None and each.seen.outcome.value == "match":
            plan = each.claim.plan
            yield f"{plan.endpoint} ({plan.bundle}): a match's p, corrected for {len(seen)} audits of this run: {p:.3g}"


def _exit_code(done: list[Done], alarmed: bool) -> int:
    from metav_audit.cli.lines import gravest

    outcomes = [each.seen.outcome.value for each in done if each.seen is not None]
    errors = [each.error for each in done if each.error is not None]
    return 1 if alarmed else gravest(outcomes, errors, len(done))
