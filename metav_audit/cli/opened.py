"""What commands that train have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from metav_audit.task import Inputs, OutputView
    from metav_audit.zoo.project import Project

trust_option = click.option(
    "--trust", is_flag=True, help="The target's file is my own and may run code, as a pickle does; see docs/formats.md."
)


def crew_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say who trains, and where; see ``with_crew``."""
    kind, where = click.Choice(["local", "dask", "ray"]), click.Choice(["auto", "cpu", "cuda", "mps"])
    command = click.option("--device", type=where, help="Where models train; docs/clusters.md.")(command)
    command = click.option("--address", metavar="ADDRESS", help="Of the cluster's scheduler.")(command)
    return click.option("--backend", type=kind, help="Who trains; docs/clusters.md.")(command)


def with_crew(project: Project, backend: str | None, address: str | None, device: str | None = None) -> Project:
    """Return the project with another crew, or another device, than its file's, where one is named."""
    from dataclasses import replace

    if backend is not None or address is not None:
        project = replace(project, other_crew=(backend or project.crew[0], address))
    return project if device is None else replace(project, other_device=device)


def tell(line: str) -> None:
    """Tell on stderr what was seen of model and data before anything is trained."""
    echo(line, err=True)


secret_option = click.option(
    "--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
    help="Of a target that is an endpoint: a variable that may be sent, or a source of credentials that may be used, "
    "for HOST alone if named; repeatable.",
)  # fmt: skip
python_option = click.option(
    "--allow-python", is_flag=True, help="A target that is an endpoint may be a Python function, which runs here."
)


def ask_first(project: Project, secrets: Sequence[str], *, allow_python: bool) -> None:
    """Ask a target that is an endpoint all that will be needed; tell beforehand how much, and then what it shows.

    Nothing is done for other targets, and nothing is asked twice.

    Raises:
        ConfigurationError: the endpoint file does not name one endpoint, its limits do not cover what is needed, a
            variable is not granted (SecretError), or the project lacks what its zoo will need.
        RemoteError: the endpoint cannot be asked; running again goes on.
    """
    from pathlib import Path

    from metav_audit.audit import Grant, gather, identity_of, load_endpoints, requests_for
    from metav_audit.errors import ConfigurationError
    from metav_audit.zoo.asked import Respondent, shown_by
    from metav_audit.zoo.beforehand import check_beforehand
    from metav_audit.zoo.project import ask_target

    named = project.settings.target.endpoint
    if named is None:
        return
    path: Path = project.folder / named
    found = load_endpoints(path, project.task, Grant(frozenset(secrets), allow_python))
    if len(found) != 1:
        raise ConfigurationError(f"{path} names {len(found)} endpoints: the target's own must be the only one in it")
    endpoint = found[0]
    check_beforehand(project, gradients=False)

    def ask(inputs: Inputs) -> tuple[NDArray[np.float64], OutputView]:
        needed, most = requests_for(endpoint, len(inputs))
        tell(f"endpoint {endpoint.name}: asks {len(inputs)} inputs in {needed} requests, {most} at most with retries")
        return gather(inputs, project.task.output, endpoint, project.asked / "asked")

    asked = ask_target(project, Respondent(identity_of(endpoint), ask))
    again = "" if asked else "nothing is asked again; "
    tell(f"endpoint {endpoint.name}: {again}it shows {shown_by(project.asked)}")


budget_option = click.option(
    "--budget",
    metavar="TIME",
    help="Train no more than fits into it: 45m, 2h; two models of each kind are timed first.",
)


def within(project: Project, budget: str | None, jobs: int | None) -> Project:
    """Return the project with the share of its preset that fits a budget; tell which, and how long it will take."""
    from dataclasses import replace

    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.build import choose_share
    from metav_audit.zoo.forecast import line_of, seconds_of

    if budget is None:
        return project
    share, parts = choose_share(project, seconds_of(budget), jobs=jobs, progress=ProgressLine("zoo: models timed"))
    tell(line_of(parts))
    tell(
        f"{share:.0%} of the preset's lineages fit {budget}, with the calibration that the promised rates need"
        + ("" if share == 1 else f": write share = {share} below [zoo], so that every later command plans the same zoo")
    )
    return replace(project, share=share)
