"""metav-audit served plan | asked | redraw | audit | verify | drill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo, echo_table
from metav_audit.cli.plans import audit_each, audit_options, plan_at, tell, verify_all, verify_options

if TYPE_CHECKING:
    from datetime import datetime

    from metav_audit.report import Paper


@click.group()
def command() -> None:
    """Ask whose randomly drawn answers a suspect learned.

    A language model's answers are drawn at random: what an account was served
    is one of many that it might have been. Whoever trained on it finds it
    likelier than alternatives that the same model draws afterwards; nobody else
    does, not the model itself. No siblings are needed, and no zoo: a log sealed
    by 'log seal --texts', and the model as it was served.
    """


@command.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.argument("program", metavar="MODULE:FUNCTION")
@click.option("--draw", required=True, metavar="HEX", help="32 bytes that the auditor chose, after the seal.")
@click.option("--shows", type=click.Choice(["log-probabilities", "tokens", "text"]), default="log-probabilities",
              show_default=True,
              help="What the suspect's API shows: of given texts, of next tokens, or texts alone.")  # fmt: skip
@click.option("--account", "accounts", multiple=True, help="An account to ask about; again for more.")
@click.option("--accounts", "most", type=click.IntRange(1), default=5, show_default=True,
              help="Without --account: so many, those with the most requests.")  # fmt: skip
@click.option("--group", "groups", multiple=True, metavar="NAME=A,B", help="Accounts that are taken as one.")
@click.option("--prompts", type=click.IntRange(10), default=200, show_default=True, help="Prompts of each account.")
@click.option("--alternatives", type=click.IntRange(1, 999), default=19, show_default=True,
              help="Drawn beside each answer.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The plan's file.")
def plan(
    log: Path,
    program: str,
    draw: str,
    shows: str,
    accounts: tuple[str, ...],
    most: int,
    groups: tuple[str, ...],
    prompts: int,
    alternatives: int,
    output: Path,
) -> None:
    """Plan what to ask a suspect, from the sealed LOG and the model as served.

    MODULE:FUNCTION returns the model: an object with 'version', 'draw', 'score'
    and 'split', see docs/served.md. Rows of another version are left out and
    counted. Which prompts and alternatives follows from --draw. The plan holds
    what customers asked and were served: look at it by 'served asked'.
    """
    from metav_audit.cli.fit import requests_of
    from metav_audit.fingerprint.served import Wanted, open_program, plan_served
    from metav_audit.progress import CountLine
    from metav_audit.task.texts import Shows
    from metav_audit.transcript.log import find_accounts

    requests = requests_of(log, draw, groups)
    found = find_accounts(requests.log, draw, requests.groups)
    missing = [name for name in accounts if name not in {each.name for each in found}]
    if missing:
        raise click.UsageError(f"{missing[0]!r} is no account of the log that sent enough, and no group.")
    named = set(accounts) or {each.name for each in found[: max(most, len(requests.groups))]}
    chosen = [each for each in found if each.name in named]
    wanted = Wanted(Shows(shows), prompts, alternatives)
    model = open_program(program, "the program")
    made = plan_served(requests.log, chosen, model, draw, wanted, requests.seals, CountLine("prompts"))
    made.save(output)
    echo(f"{output}  {len(made.queries)} prompts of {len(made.accounts)} accounts, SHA-256 {made.sha256}")
    for why, count in sorted(made.left_out.items()):
        echo(f"{count} rows left out: {why}", err=True)


@command.command()
@click.argument("plan", type=click.Path(path_type=Path))
def asked(plan: Path) -> None:
    """List what of the log leaves your house with PLAN, as CSV."""
    import csv
    import io

    from metav_audit.bundle import ServedPlan

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("query", "account", "at", "prompt", "answer"))
    for number, each in enumerate(ServedPlan.load(plan_at(plan)).queries):
        table.writerow((number, each.account, each.at, each.prompt, each.answer))
    echo_table(text.getvalue())


@command.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.argument("program", metavar="MODULE:FUNCTION")
def redraw(plan: Path, program: str) -> int:
    """Draw PLAN's alternatives again, by whoever may run the model.

    Exit code: 0 they are the plan's, 4 some are not.
    """
    from metav_audit.bundle import ServedPlan
    from metav_audit.fingerprint.served import open_program, redrawn

    told = ServedPlan.load(plan_at(plan))
    differing = redrawn(told, open_program(program, "the program"))
    if differing:
        echo(f"FAILED  {len(differing)} of {len(told.queries)} prompts have other alternatives, first {differing[0]}")
        return 4
    echo(f"passed  the alternatives of all {len(told.queries)} prompts are those that the model draws")
    return 0


@command.command()
@audit_options
def audit(plan: Path, endpoints: Path, out: Path, secrets: tuple[str, ...], allow_python: bool, paper: Paper) -> int:
    """Ask the APIs of ENDPOINTS what PLAN says, and test every account's answers.

    ENDPOINTS is the file of 'metav-audit audit', with the adapter
    openai-logprobs or json-template. OUT/NAME gets the transcript, the verdict
    (served.json) and the reports (served.html, served.pdf). The same command
    asks only what is still open.

    Exit code: 1 a match, whatever else failed; 3 inconclusive, 4 the endpoint
    could not be asked, 5 some of several could not.
    """
    from metav_audit.audit import Grant, load_endpoints
    from metav_audit.bundle import ServedPlan
    from metav_audit.casework import audit_served

    told = ServedPlan.load(plan_at(plan))
    found = load_endpoints(endpoints, told.task, Grant(frozenset(secrets), allow_python))
    return audit_each(found, lambda each: audit_served(told, each, out, paper=paper, progress=tell).verdict, out)


@command.command()
@verify_options
def verify(folder: Path, log: Path | None, signer: str | None, tsa_cert: Path | None) -> int:
    """Verify an audit of served answers in DIR, offline, the served ones drawn again.

    Exit code: 0 every step passes, 6 every step passes but neither --log nor
    --signer was named, so that it may be anyone's, 4 a step fails.
    """
    from metav_audit.verify import verify_served

    return verify_all(verify_served, folder, log, signer, tsa_cert)


@command.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.argument("program", metavar="MODULE:FUNCTION")
@click.argument("innocent", metavar="MODULE:FUNCTION")
@click.option("--known-since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE",
              help="The innocent's first known day; today by default.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Plans of each kind.")
@click.option("--prompts", type=click.IntRange(50), default=100, show_default=True, help="Asked in each plan.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the auditor's draws.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How the table is printed; json has every round.")  # fmt: skip
def drill(
    log: Path,
    program: str,
    innocent: str,
    known_since: datetime | None,
    rounds: int,
    prompts: int,
    seed: int,
    form: str,
) -> int:
    """Rig plans against an innocent model, and see what exposes each.

    From the sealed LOG and the model as served, the first function, five kinds
    are made for real: answers that INNOCENT, the second, gives itself, or likes
    best; alternatives to other prompts, or that it likes least; prompts where it
    likes what was served. Each is put to the checks: whether served and
    alternatives fit each other, whether the log is shown to be older than the
    innocent, whether prompts and alternatives are the draw's. Honest plans have
    to pass the same, so LOG needs a time stamp older than --known-since.

    Exit code: 0 all rigged plans exposed, all honest ones pass; 4 not so.
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from metav_audit.cli.echo import echo_json
    from metav_audit.drill.rounds import as_text, passed, summarise
    from metav_audit.drill.served import LogCheck, LogDrill, LogKind, check_stamped
    from metav_audit.evidence import open_checked
    from metav_audit.fingerprint.served import check_texts, open_program
    from metav_audit.progress import CountLine

    sealed = open_checked(log)
    check_texts(sealed)
    check_stamped(sealed)
    models = [open_program(each, what) for each, what in ((program, "the program"), (innocent, "the innocent"))]
    known = (known_since or datetime.now(UTC)).date().isoformat()
    tell, played = CountLine("plans"), []
    for one in LogDrill(sealed, models[0], models[1], known, prompts).play(rounds, seed):
        played.append(one)
        tell(len(played))
    rows = summarise(played, LogKind, LogCheck)
    if form == "json":
        echo_json({"rows": [asdict(row) for row in rows], "rounds": [asdict(one) for one in played]}, indent=1)
    else:
        echo_table(as_text(rows, "plan"))
    return 0 if passed(rows) else 4
