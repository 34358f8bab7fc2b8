"""What commands that train have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
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
