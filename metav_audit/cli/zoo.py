"""metav-audit zoo PROJECT."""

from __future__ import annotations

from pathlib import Path

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


@click.command()
@click.argument("project", type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1), help="Worker processes; all cores by default.")
@budget_option
@crew_options
@trust_option
@secret_option
@python_option
def command(
    project: Path,
    jobs: int | None,
    budget: str | None,
    backend: str | None,
    address: str | None,
    device: str | None,
    trust: bool,
    secrets: tuple[str, ...],
    allow_python: bool,
) -> None:
    """Train or resume the surrogates of PROJECT, a project.toml or its folder.

    A model that exists is not trained again; after Ctrl-C or a crash the same
    command goes on where it stopped. A target that is an endpoint is asked
    first, once and for all that zoo and fit need.
    """
    from dataclasses import replace

    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.build import build_zoo
    from metav_audit.zoo.project import load_project

    loaded = with_crew(replace(load_project(project), trust=trust), backend, address, device)
    ask_first(loaded, secrets, allow_python=allow_python)
    loaded = within(loaded, budget, jobs)
    zoo = build_zoo(loaded, jobs=jobs, progress=ProgressLine("zoo: models trained"), tell=tell)
    derived = sum(one.plan.derived for one in zoo.surrogates)
    echo(f"{derived} derived and {len(zoo.surrogates) - derived} independent models in {loaded.store_place}")
    if zoo.left_out:
        echo(f"{zoo.left_out} left out: they perform so badly that no one would deploy them", err=True)
