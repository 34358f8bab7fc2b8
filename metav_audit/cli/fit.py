"""metav-audit fit PROJECT."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.opened import (
    ask_first,
    budget_option,
    crew_options,
    python_option,
    secret_option,
    tell,
    trust_option,
    with_crew,
    within,
)

if TYPE_CHECKING:
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.fingerprint.methods.base import Method
    from metav_audit.fingerprint.requests import Requests
    from metav_audit.zoo.project import Project


@click.command()
@click.argument("project", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle's folder; NAME.bundle by default.")
@click.option(
    "--method",
    help="siblings, committee, metav or another: docs/methods.md. By default siblings where the project names its "
    "training program, otherwise committee for classes or a scarce zoo, metav for values.",
)
@click.option("--mode", type=click.Choice(["derivation", "integrity"]), default="derivation", show_default=True,
              help="Integrity: inputs that react to any change of the model; see docs/integrity.md.")  # fmt: skip
@click.option("--queries", type=click.IntRange(4, 4096), help="Inputs of an integrity plan; 16 by default.")
@click.option("--identity", metavar="TEXT", help="Who claims the model, for fitprint.")
@click.option("--nonce", metavar="HEX", help="32 bytes in hexadecimal, for fitprint; from the seed by default.")
@click.option("--log", type=click.Path(path_type=Path), help="A sealed request log to take the queries from.")
@click.option("--draw", metavar="HEX", help="32 bytes that draw the log's inputs; from the seed by default.")
@click.option("--group", "groups", multiple=True, metavar="NAME=A,B", help="Accounts of the log to take together.")
@click.option("--accounts", "most", type=click.IntRange(1, 50),
              help="So many accounts of the log, those with the most requests; 50 by default.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), help="Worker processes for the zoo; all cores by default.")
@budget_option
@crew_options
@trust_option
@secret_option
@python_option
def command(
    project: Path,
    output: Path | None,
    method: str | None,
    mode: str,
    queries: int | None,
    identity: str | None,
    nonce: str | None,
    log: Path | None,
    draw: str | None,
    groups: tuple[str, ...],
    most: int | None,
    jobs: int | None,
    budget: str | None,
    backend: str | None,
    address: str | None,
    device: str | None,
    trust: bool,
    secrets: tuple[str, ...],
    allow_python: bool,
) -> None:
    """Fit fingerprint, meta-verifier and calibration of PROJECT into a bundle.

    Surrogates that the zoo still lacks are trained first. A target that is an
    endpoint is asked before them, once and for all that zoo and fit need.

    The answers to a fingerprint of the method fitprint spell bits that follow
    from the owner's identity and a nonce, whatever the model and the suspect.
    Let another party choose the nonce: one that you choose could be tried out.

    With --log the queries are inputs that accounts of your API sent: whoever
    extracted your model owes it most there. It needs siblings. Let the auditor
    choose --draw, after the log was sealed. What is asked of whose requests is
    listed by 'metav-audit log asked BUNDLE', before anything is asked.

    With --mode integrity no zoo is trained: a file NAME.integrity.json holds
    inputs between the target's classes that slightly changed copies answer
    otherwise. 'metav-audit enrol' adds what the approved deployment answers,
    and 'metav-audit audit' says whether it is unchanged.
    """
    from dataclasses import replace

    from metav_audit.bundle import check_place, nonce_of
    from metav_audit.errors import ConfigurationError
    from metav_audit.fingerprint.fit import fit_bundle
    from metav_audit.fingerprint.making import Making
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.build import build_zoo
    from metav_audit.zoo.project import load_project, open_workshop

    loaded = replace(load_project(project), identity=identity, nonce=nonce, trust=trust)
    loaded = with_crew(loaded, backend, address, device)
    if mode == "integrity":
        if method or identity or nonce or log or draw or groups or budget:
            raise ConfigurationError("--mode integrity takes --queries, --output and --trust alone")
        _check_at_hand(loaded, "--mode integrity asks it inputs between its classes")
        _fit_integrity(loaded, output, queries or USUAL_QUERIES)
        return
    if queries is not None:
        raise ConfigurationError("--queries is for --mode integrity; a bundle's stand below [fingerprint]")
    _check_log(loaded, log, picked=bool(draw or groups or most))
    path = output or loaded.folder / f"{loaded.file_name}.bundle"
    check_place(path)
    found = _find_method(loaded, method, marked=bool(identity or nonce))
    ask_first(loaded, secrets, allow_python=allow_python)
    _check_method(loaded, found)
    loaded = within(loaded, budget, jobs)
    requests = requests_of(log, draw or nonce_of(loaded.settings.seed), groups, most) if log else None
    zoo = build_zoo(loaded, jobs=jobs, progress=ProgressLine("zoo: models trained"), tell=tell)
    making = Making.of(open_workshop(loaded), zoo, method, requests=requests)
    bundle, fitted = fit_bundle(making, path, ProgressLine("fingerprint: steps"))
    if not fitted:
        echo("nothing to do: the bundle of this project, zoo and method stands already", err=True)
    echo(f"{path}  sha256 {bundle.sha256}")
    if log is not None:
        told = bundle.provenance["log"]
        for account in told["accounts"]:
            looked_at = f"{account['requests']} requests, {account['inputs']} inputs looked at"
            echo(f"{account['name']}: {looked_at}", err=True)
        echo(f"'metav-audit log asked {path}' lists the {len(told['rows'])} inputs that will be asked", err=True)
    _report(bundle, zoo.left_out)


USUAL_QUERIES = 16
"""Of an integrity plan."""


def _fit_integrity(project: Project, output: Path | None, queries: int) -> None:
    from metav_audit.bundle.integrity import IntegrityPlan
    from metav_audit.errors import ConfigurationError
    from metav_audit.fingerprint.integrity import plan_integrity
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.project import open_workshop

    path = output or project.folder / f"{project.file_name}.integrity.json"
    workshop = open_workshop(project)
    standing = IntegrityPlan.load(path) if path.exists() else None
    plan = plan_integrity(workshop, queries, project.settings.seed, progress=ProgressLine("integrity: changed copies"))
    if standing is not None and standing.sessions:
        if standing.bare.sha256 != plan.sha256:
            raise ConfigurationError(
                f"{path} holds {len(standing.sessions)} sessions that were enrolled with other inputs: choose another "
                "place with -o, or move it away"
            )
        echo(f"nothing to do: {path} stands already, with {len(standing.sessions)} sessions", err=True)
        plan = standing
    plan.save(path)
    echo(f"{path}  {queries} inputs, SHA-256 {plan.sha256}")
    for each in plan.catches:
        found = f"{each.by_label} of {each.copies} by labels alone, {each.by_scores} by scores"
        echo(f"{each.change}: found {found}", err=True)
    echo("'metav-audit enrol' adds sessions of the approved deployment: five at least", err=True)


def _check_at_hand(project: Project, why: str) -> None:
    """Raise ConfigurationError where the target is an endpoint, which is asked what zoo and fit need and no more."""
    from metav_audit.errors import ConfigurationError

    if project.settings.target.endpoint is not None:
        raise ConfigurationError(f"{why}, and a target that is an endpoint is asked once, before: bring the model")


def _check_log(project: Project, log: Path | None, *, picked: bool) -> None:
    """Raise ConfigurationError where a log's options stand alone, or the target cannot be asked what is in the log."""
    from metav_audit.errors import ConfigurationError

    if log is not None:
        _check_at_hand(project, "--log asks it what accounts sent")
    elif picked:
        raise ConfigurationError("--draw, --group and --accounts are for --log")


def _find_method(project: Project, method: str | None, *, marked: bool) -> Method | None:
    """Return the method that was asked for, None where none was; what does not suit it is found before all asking."""
    from metav_audit.errors import ConfigurationError
    from metav_audit.fingerprint.making import check_gradients
    from metav_audit.fingerprint.methods.registry import find_method

    found = None if method is None else find_method(method, project.task.output.kind)
    if found is not None and found.marks_owner:
        _ = project.owner_mark
    elif marked:
        raise ConfigurationError("--identity and --nonce are for --method fitprint")
    if found is not None and project.settings.target.endpoint is not None:
        check_gradients(found, gradients=False)
    return found


def _check_method(project: Project, found: Method | None) -> None:
    """Raise ConfigurationError where a method does not suit the project's models, before all training."""
    from metav_audit.fingerprint.making import check_answered, check_gradients
    from metav_audit.fingerprint.methods.registry import default_method, find_method
    from metav_audit.zoo.formats.opaque import has_gradients
    from metav_audit.zoo.project import open_workshop

    workshop = open_workshop(project)
    if found is not None:
        check_gradients(found, gradients=has_gradients(workshop.target.network))
    kind, siblings = project.task.output.kind, project.training is not None
    check_answered(found or find_method(default_method(kind, siblings=siblings)), workshop)


def requests_of(log: Path, draw: str, groups: tuple[str, ...], most: int | None = None) -> Requests:
    """Open a sealed log to take queries from, once all of it holds, with its seals; ``groups`` are NAME=A,B."""
    from metav_audit.errors import ConfigurationError
    from metav_audit.evidence import log_seals, open_checked
    from metav_audit.fingerprint.requests import Requests
    from metav_audit.transcript.log import MOST_ACCOUNTS

    if not re.fullmatch("[0-9a-f]{64}", draw):
        raise ConfigurationError("--draw is 32 bytes, written as 64 hexadecimal digits in lower case")
    named = [group.partition("=")[::2] for group in groups]
    if not all(name and accounts for name, accounts in named):
        raise click.UsageError("--group is NAME=A,B: a name for the accounts that are taken together, and these.")
    opened = open_checked(log)
    together = {name: accounts.split(",") for name, accounts in named}
    return Requests(opened, draw, together, log_seals(opened), most or MOST_ACCOUNTS)


def _report(bundle: FingerprintBundle, left_out: int) -> None:
    """Say on stderr how well the bundle knows models whose origin is known, and warn where it does not."""
    from metav_audit.fingerprint.fit import check_itself
    from metav_audit.verdict import VerdictOutcome

    if "nonce" in bundle.provenance:
        echo(f"identity {bundle.provenance['identity']!r}, nonce {bundle.provenance['nonce']}", err=True)
    if left_out:
        echo(f"{left_out} surrogates left out: they perform so badly that no one would deploy them", err=True)
    check = check_itself(bundle)
    echo(
        f"of the calibration's models, {check.matched:.0%} of the derived would be a match and {check.cleared:.0%} of "
        "the independent no match",
        err=True,
    )
    for doubt in check.doubts:
        echo(f"warning: no audit with this bundle will end in a verdict: {doubt}", err=True)
    if not check.knows_own_architecture:
        echo(
            "warning: no independent calibration model has the target's own architecture, so no audit will end in a "
            "match: train the zoo for longer, or on more data",
            err=True,
        )
    elif check.stranger is not None:
        echo(
            "warning: no audit will end in a match: the target behaves like none of the zoo's models of its own "
            f"architecture, so that rivals trained as it was may come as near: {check.stranger}. Name its training "
            'program below [training] (program = "built-in" needs no code), which needs no such models',
            err=True,
        )
    elif check.target.outcome is not VerdictOutcome.MATCH:
        echo(
            f"warning: this bundle does not recognise the target itself ({check.target.outcome}, "
            f'p = {check.target.p_value:.3f}): try more queries or steps, or preset = "standard"',
            err=True,
        )
