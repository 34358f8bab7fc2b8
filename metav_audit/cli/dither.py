"""metav-audit dither keygen | commit | measure | plan | audit | verify."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.plans import audit_each, audit_options, plan_at, tell, verify_all, verify_options
from metav_audit.cli.stamping import stamp_options, stamper_of

if TYPE_CHECKING:
    from metav_audit.report import Paper


@click.group()
def command() -> None:
    """Serve with coins, and ask whose coins a suspect learned.

    A secret coin for each account and input moves every answer of your
    classifier a little. Whoever trains on what an account was served learns
    its coins, and no one else can. keygen, measure and commit come before
    serving (the middleware is metav_audit.DitherMiddleware); plan, audit and
    verify when there is a suspect. No siblings are needed, and no zoo.
    """


@command.command()
@click.argument("dither", type=click.Path(path_type=Path))
@click.option("--epsilon", type=float, default=2.0, show_default=True, help="Nats by which a coin moves log-odds.")
@click.option("--undecided", type=float, default=0.5, show_default=True,
              help="Labels may change where the likeliest class leads by less; see measure.")  # fmt: skip
def keygen(dither: Path, epsilon: float, undecided: float) -> None:
    """Draw a key, and write it with its sizes to DITHER, for you alone.

    Prints the key's SHA-256: 'commit' signs it. Keep DITHER as long as you may
    want to ask suspects; serve under another once a plan was shown to others.
    """
    from metav_audit.task import make_dither

    echo(f"{dither}  key SHA-256 {make_dither(dither, epsilon, undecided).key_sha256}")


@command.command()
@click.argument("dither")
@click.option("--key", required=True, help="Signs: the key's path, or env:NAME for a variable that holds its PEM.")
@stamp_options
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The commitment's file.")
def commit(dither: str, key: str, tsa: str | None, tsa_cert: Path | None, output: Path) -> None:
    """Sign and time-stamp the hash of DITHER's key, before serving with it.

    Only so it can be shown later that the key was not looked for when a
    suspect's answers were known.
    """
    from datetime import UTC, datetime

    from metav_audit.evidence import check_dither, check_free, commit_dither, read_key, save_attestation
    from metav_audit.task import read_dither

    check_free(output)
    signing, stamper, mine = read_key(key, os.environ), stamper_of(tsa, tsa_cert), read_dither(dither, os.environ)
    commitment = commit_dither(mine, signing, claimed_at=datetime.now(UTC), stamper=stamper)
    save_attestation(commitment, output)
    echo(str(output))
    for finding in check_dither(commitment, mine, signer=signing.public.key_id).findings:
        echo(f"{finding.name}: {finding.detail}", err=True)
    if stamper is None:
        echo("warning: without --tsa nothing but your own word says when this was signed", err=True)


@command.command()
@click.argument("project", type=click.Path(path_type=Path))
@click.option("--epsilon", type=float, default=2.0, show_default=True, help="Nats by which a coin moves log-odds.")
@click.option("--most", type=float, default=0.5, show_default=True, help="Points of accuracy that may be lost.")
def measure(project: Path, epsilon: float, most: float) -> int:
    """Measure what coins cost the target of PROJECT, before serving with them.

    On the project's validation and held-out data, which the target was not
    trained on; means over all coins, so none is thrown. Prints a line for each
    size of "undecided", and the largest that loses at most --most points.

    Exit code: 0, or 3 where even the smallest loses more.
    """
    import numpy as np

    from metav_audit.fingerprint.coins import dither_costs, most_undecided
    from metav_audit.serving.model import predictor
    from metav_audit.task import Dither
    from metav_audit.task.dither import KEY_BYTES
    from metav_audit.zoo.project import load_project, open_workshop

    workshop = open_workshop(load_project(project))
    parts = (workshop.data.validation, workshop.data.heldout)
    own = predictor(workshop.target.network)(np.concatenate([part.inputs for part in parts]))
    sizes = np.linspace(epsilon / 20, epsilon, 20).round(3).tolist()
    dithers = [Dither(bytes(KEY_BYTES), epsilon, size) for size in [0.0, *sizes]]
    costs = dither_costs(own, np.concatenate([part.labels for part in parts]), dithers)
    echo(f"epsilon {epsilon:g}, {len(own)} examples, accuracy {costs[0].accuracy:.4f}")
    echo("undecided  points lost   +/-  labels changed, %  probability moved")
    for cost in costs:
        echo(
            f"{cost.undecided:9.3f}{100 * cost.lost:13.2f}{100 * cost.error:6.2f}{100 * cost.changed:19.2f}"
            f"{cost.moved:19.4f}"
        )
    best = most_undecided(costs[1:], most / 100)
    if best is None:
        echo(f"even the smallest loses more than {most:g} points: serve with --undecided 0, or do without")
        return 3
    echo(f"the largest that loses at most {most:g} points: --undecided {best.undecided:g}")
    return 0


@command.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.argument("model")
@click.option("--dither", required=True, help="What the accounts were served with: its path, or env:NAME.")
@click.option("--project", type=click.Path(path_type=Path), help="Names the task, where MODEL is no project.")
@click.option("--account", "accounts", multiple=True, help="An account to ask about; again for more.")
@click.option("--accounts", "most", type=click.IntRange(1), default=20, show_default=True,
              help="Without --account: so many, those with the most requests.")  # fmt: skip
@click.option("--queries", type=click.IntRange(5), default=64, show_default=True, help="Inputs of each account.")
@click.option("--commitment", type=click.Path(path_type=Path), help="Of the dither's key, by 'dither commit'.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The plan's file.")
def plan(
    log: Path,
    model: str,
    dither: str,
    project: Path | None,
    accounts: tuple[str, ...],
    most: int,
    queries: int,
    commitment: Path | None,
    output: Path,
) -> None:
    """Plan what to ask a suspect, from the sealed LOG and MODEL itself.

    Of each account the inputs where MODEL was least decided: which they are
    follows from no coin. MODEL is a project, a .pt2 file or MODULE:FUNCTION, as
    'metav-audit serve' takes it, without dither. The plan holds the key: show
    it to the auditor alone, and serve under another key from then on.
    """
    from metav_audit.evidence import load_attestation, open_checked
    from metav_audit.fingerprint.coins import busiest_accounts, plan_coins
    from metav_audit.serving.model import open_model
    from metav_audit.task import read_dither

    mine, sealed, served = read_dither(dither, os.environ), open_checked(log), open_model(model, project=project)
    committed = None if commitment is None else load_attestation(commitment).to_bytes()
    asked = accounts or busiest_accounts(sealed.rows(), most)
    made = plan_coins(
        sealed.rows(), mine, served.task, served.predict, asked, queries, log=sealed.head, commitment=committed
    )
    made.save(output)
    echo(f"{output}  {len(made.queries)} inputs of {len(made.accounts)} accounts, SHA-256 {made.sha256}")
    strays = int(made.strays().sum())
    if strays:
        echo(f"warning: {strays} labels were not served as this key and model make them", err=True)


@command.command()
@audit_options
def audit(plan: Path, endpoints: Path, out: Path, secrets: tuple[str, ...], allow_python: bool, paper: Paper) -> int:
    """Ask the APIs of ENDPOINTS what PLAN says, and test every account's coins.

    ENDPOINTS is the file of 'metav-audit audit'. OUT/NAME gets the transcript,
    the verdict (coins.json) and the reports (coins.html, coins.pdf). The same
    command asks only what is still open.

    Exit code: 1 a match, whatever else failed; 3 inconclusive, 4 the endpoint
    could not be asked, 5 some of several could not.
    """
    from metav_audit.audit import Grant, load_endpoints
    from metav_audit.bundle import CoinPlan
    from metav_audit.casework import audit_coins

    told = CoinPlan.load(plan_at(plan))
    found = load_endpoints(endpoints, told.task, Grant(frozenset(secrets), allow_python))
    return audit_each(found, lambda each: audit_coins(told, each, out, paper=paper, progress=tell).verdict, out)


@command.command()
@verify_options
def verify(folder: Path, log: Path | None, signer: str | None, tsa_cert: Path | None) -> int:
    """Verify an audit by coins in DIR, offline, the coins drawn again.

    Exit code: 0 every step passes, 6 every step passes but neither --log nor
    --signer was named, so that it may be anyone's, 4 a step fails.
    """
    from metav_audit.verify import verify_coins

    return verify_all(verify_coins, folder, log, signer, tsa_cert)
