"""Values that are costly to make, made once a test run."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import hypothesis
import pytest

from tests.once import once_a_run

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Test processes share the cores among them; more threads than cores only wait for each other."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell's background jobs ignore it, and so would every program that a test starts and interrupts."""

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
"""No test but one asserts a time: a busy machine is no failure."""


@dataclass(frozen=True)
class Toy:
    """A toy project, trained: its workshop and its zoo."""

    workshop: object
    zoo: object


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """The toy project with its whole zoo trained, for reading only; test processes share it."""
    from metav_audit.zoo.build import build_zoo
    from metav_audit.zoo.project import load_project, open_workshop
    from tests.toy import TRAINING, install_presets, write_toy

    install_presets()
    with once_a_run(tmp_path_factory, "toy") as folder:
        path = folder / "project.toml"
        project = load_project(path if path.exists() else write_toy(folder, TRAINING))
        return Toy(open_workshop(project), build_zoo(project, jobs=1))
