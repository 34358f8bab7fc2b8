"""What was named in the place of a bundle or a plan, where it is plainly something else."""

from __future__ import annotations

import os
from pathlib import Path

from metav_audit.errors import ConfigurationError

_PROJECT, _MANIFEST = "project.toml", "manifest.json"


def refuse_what_is_none(path: Path) -> None:
    """Raise ConfigurationError where nothing is there, and with the likely mistake at a file, a project or an audit."""
    if not os.path.lexists(path):
        raise ConfigurationError(f"there is no bundle {path}")
    if path.is_file():
        if path.name == _PROJECT:
            raise _project(path)
        if path.suffix == ".toml":
            raise ConfigurationError(f"{path} is an endpoint file, no bundle: name the bundle first, then the file")
        raise ConfigurationError(
            f"{path} is a file, no bundle: a bundle is the folder that 'metav-audit fit' wrote; plans are audited by "
            "'metav-audit dither audit' and 'metav-audit served audit'"
        )
    if not (path / _MANIFEST).exists():
        if (path / _PROJECT).exists():
            raise _project(path)
        if (path / "transcript.jsonl").exists() and (path / "bundle").is_dir():
            raise ConfigurationError(f"{path} is an audit's folder, no bundle: its bundle is {path / 'bundle'}")


def refuse_what_is_no_plan(path: Path) -> None:
    """Raise ConfigurationError, with the likely mistake, where a path is an endpoint file, a folder or not there."""
    if path.is_dir():
        what = "a bundle, which 'metav-audit audit' asks" if (path / _MANIFEST).exists() else "a folder"
        raise ConfigurationError(f"{path} is {what}, no plan: name the file that 'plan' wrote")
    if path.suffix == ".toml":
        raise ConfigurationError(f"{path} is an endpoint file, no plan: name the plan first, then the file")
    if not path.exists():
        raise ConfigurationError(f"there is no plan {path}: name the file that 'plan' wrote")


def _project(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is a project, no bundle: 'metav-audit fit {path} -o BUNDLE' makes one of it")
