"""metav-audit init [DIR]."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from metav_audit.cli.echo import echo


@click.command()
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--digits", is_flag=True, help="A complete project on scikit-learn's digits, with a trained target.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the digits project.")
@click.option("--preset", default="standard", show_default=True, help="Zoo preset of the digits project.")
def command(folder: Path, digits: bool, seed: int, preset: str) -> None:
    """Write a commented project.toml into DIR."""
    from metav_audit.errors import ConfigurationError
    from metav_audit.files import write_atomically

    path = folder / "project.toml"
    if path.exists():
        raise ConfigurationError(f"{path} exists: choose another folder, or edit that file")
    if digits:
        from metav_audit.demo.digits import write_project
        from metav_audit.zoo.presets import check_preset

        check_preset(preset)

        write_project(folder, seed, preset)
    else:
        write_atomically(path, resources.files("metav_audit.cli").joinpath("project.toml").read_bytes())
    echo(str(path))
