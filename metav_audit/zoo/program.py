"""The owner's training program: what it is made of, and one run of it."""

from __future__ import annotations

import hashlib
import math
import random
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from metav_audit.errors import ConfigurationError
from metav_audit.version import __version__
from metav_audit.zoo.ancestor import ancestor_sha256, checkpoint_sha256, load_ancestor
from metav_audit.zoo.architectures import call_function, import_function
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.device import description_of
from metav_audit.zoo.habits import BUILT_IN_PROGRAM, TrainingHabits, train_by_habits
from metav_audit.zoo.project import Project, Workshop
from metav_audit.zoo.target import in_form_of

_WHAT = "training program"
_OURS = "metav_audit"
"""What the program uses of this package is known by its version, however it is installed."""


def run_program(workshop: Workshop, seed: int) -> nn.Module:
    """Run the owner's training program once, with all global chance seeded, and return its model like the target.

    Args:
        workshop: the owner's; its project names a program.
        seed: of the run, below 2**31.

    Raises:
        ConfigurationError: the program cannot be found, or gives no model.
        DataError: it fails, or its model is not built like the target.
    """
    return run_program_on(workshop, seed, workshop.data.train)


def run_program_on(workshop: Workshop, seed: int, data: LabelledData) -> nn.Module:
    """Run the program on any data, as a rival who trains as the owner does would; see ``run_program``."""
    training = workshop.project.training
    assert training is not None
    assert training.program is not None
    with _seeded(seed):
        if training.program == BUILT_IN_PROGRAM:
            own, habits = replace(workshop.data, train=data), TrainingHabits.read(training.habits)
            model = train_by_habits(
                habits, workshop.target, own, seed, load_ancestor(workshop), workshop.project.device
            )
        else:
            further = [] if training.checkpoint is None else [workshop.project.folder / training.checkpoint]
            model = call_function(training.program, _WHAT, seed, data, *further)
    return in_form_of(workshop.target, model, f"{_WHAT} {training.program!r}")


def describe_program(workshop: Workshop) -> dict[str, Any]:
    """Describe in JSON types what a run of the program hangs on beside its seed: sources, libraries, data.

    Sources are the module that the program stands in and what it imports, by name and SHA-256, as far as they are no
    installed packages; of those stand the versions.
    """
    training = workshop.project.training
    assert training is not None
    assert training.program is not None
    sources: dict[str, str] = {}
    libraries = {_OURS: __version__, "torch": torch.__version__, "numpy": np.__version__}
    if training.program != BUILT_IN_PROGRAM:
        function = import_function(training.program, _WHAT)
        sources, others = _imports_of(sys.modules[function.__module__])
        libraries |= others
    return {
        "program": training.program,
        "habits": dict(training.habits),
        "sources": dict(sorted(sources.items())),
        "libraries": dict(sorted(libraries.items())),
        "data_sha256": workshop.data.train.sha256(),
        "ancestor": ancestor_sha256(workshop.project),
        **({} if training.checkpoint is None else {"checkpoint": checkpoint_sha256(workshop.project)}),
        **_on(workshop),
        "target_sha256": workshop.target.sha256 if training.program == BUILT_IN_PROGRAM else None,
    }


def _on(workshop: Workshop) -> dict[str, str]:
    """Name the device of the built-in program, where it is not the processor; an owner's program chooses its own."""
    training, where = workshop.project.training, description_of(workshop.project.device)
    built_in = training is not None and training.program == BUILT_IN_PROGRAM
    return {"device": where} if built_in and where is not None else {}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the chance that a program takes from the whole process, and put it back afterwards."""
    ours, numbers = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numbers)


def _imports_of(start: ModuleType) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sources (SHA-256 by module) and the installed packages (version by name) that a module stands on."""
    sources: dict[str, str] = {}
    packages: set[str] = set()
    open_modules = [start]
    while open_modules:
        module = open_modules.pop()
        path = getattr(module, "__file__", None)
        if path is None or module.__name__ in sources:
            continue
        package = module.__name__.partition(".")[0]
        if package == _OURS:
            continue
        if _installed(Path(path)):
            packages.add(package)
            continue
        sources[module.__name__] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        open_modules.extend(_named_in(module))
    owners = _owners()
    return sources, {name: version(owners[name][0]) for name in packages if name in owners}


@lru_cache(maxsize=1)
def _owners() -> Mapping[str, list[str]]:
    """Return the installed distributions by the packages that they hold."""
    return packages_distributions()


def _named_in(module: ModuleType) -> Iterator[ModuleType]:
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            yield value
        elif isinstance(value, type | Callable):
            named = sys.modules.get(getattr(value, "__module__", None) or "")
            if named is not None:
                yield named


def _installed(path: Path) -> bool:
    places = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(path.is_relative_to(place) for place in places)


def check_program(project: Project) -> None:
    """Raise ConfigurationError if the program cannot be found, or its siblings are too few for what is promised."""
    training, promised = project.training, project.rates.false_match
    if training is None or training.program is None:
        return
    needed = math.ceil(1 / promised - 1e-9) - 1
    if training.siblings < needed:
        raise ConfigurationError(
            f"a promised false-match rate of {promised:g} takes {needed} siblings at least, and {training.siblings} "
            "are asked for: set siblings below [training]"
        )
    if training.program == BUILT_IN_PROGRAM:
        TrainingHabits.read(training.habits)
        if training.checkpoint is not None:
            raise ConfigurationError(
                "[training] checkpoint: the built-in program starts anew. Name a program of your own, which takes "
                "(seed, data, checkpoint) and goes on from there"
            )
    elif training.habits:
        raise ConfigurationError('[training] habits are those of the built-in program: write program = "built-in"')
    else:
        import_function(training.program, _WHAT)
    ancestor_sha256(project)
    checkpoint_sha256(project)
