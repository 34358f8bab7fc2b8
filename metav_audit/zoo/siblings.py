"""Siblings: reruns of the owner's own training program with other seeds, stored beside the zoo.

Given the data and a suspect that came to be without the target, target and siblings are exchangeable: that is what an
exact p-value stands on; see ``metav_audit.bundle.forms.siblings``.
"""

from __future__ import annotations

import copy
import time
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.progress import Progress, silent
from metav_audit.zoo.crew import crew_of
from metav_audit.zoo.data import performance_on
from metav_audit.zoo.program import describe_program, run_program
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.store import Store, check_same_making, content_address

FIRST = 3
"""Siblings that are trained before all others, to see whether reruns differ at all."""


def make_siblings(
    workshop: Workshop, *, jobs: int | None = None, progress: Progress = silent, only_first: bool = False
) -> list[float]:
    """Train the siblings that the store lacks; each is stored the moment it is done. Return the seconds that each took.

    Args:
        workshop: the owner's; nothing is done where its project names no training program.
        jobs: worker processes, one torch thread each; all cores by default.
        progress: told of every sibling trained.
        only_first: train the first ``FIRST`` alone.

    Raises:
        ConfigurationError: the program cannot be found.
        DataError: it fails, its models are not built like the target, or its reruns give the same model again.
    """
    seeds = workshop.project.sibling_seeds
    missing = missing_siblings(workshop)
    first = [seed for seed in seeds[:FIRST] if seed in missing]
    if only_first:
        missing = first
    if not missing:
        return []
    taken: list[float] = []
    done = 0
    progress(done, len(missing))
    with crew_of(*workshop.project.crew_with(jobs)) as crew:
        for batch in (first, [seed for seed in missing if seed not in first]):
            tasks = [(workshop.project, seed, sibling_address(workshop, seed)) for seed in batch]
            for _, seconds in crew.each(_make_one, tasks):
                taken.append(seconds)
                done += 1
                progress(done, len(missing))
            _check_chance(workshop, seeds[:FIRST])
    return taken


def missing_siblings(workshop: Workshop) -> list[int]:
    """Return the seeds of the siblings that the store lacks."""
    store, seeds = Store(workshop.project.store_place), workshop.project.sibling_seeds
    return [seed for seed in seeds if store.performance(sibling_address(workshop, seed)) is None]


def load_siblings(workshop: Workshop) -> list[nn.Module]:
    """Load the siblings, frozen, in the order of their seeds; none where no training program is named.

    Raises:
        DataError: one is missing or damaged.
    """
    return [_load(workshop, seed) for seed in workshop.project.sibling_seeds]


def siblings_address(workshop: Workshop) -> str:
    """Return the hash of all that decides the siblings."""
    return content_address({"siblings": [sibling_address(workshop, seed) for seed in workshop.project.sibling_seeds]})


def sibling_address(workshop: Workshop, seed: int) -> str:
    """Return a sibling's content address in the store."""
    return content_address({"program": _program_address(workshop), "seed": seed})


@lru_cache(maxsize=4)
def _program_address(workshop: Workshop) -> str:
    return content_address({**describe_program(workshop), "task": workshop.target.task.to_json()})


def _make_one(task: tuple[Project, int, str]) -> float:
    project, seed, address = task
    torch.set_num_threads(1)
    workshop = open_workshop(project)
    check_same_making(sibling_address(workshop, seed), address)
    started = time.perf_counter()
    model = run_program(workshop, seed)
    performance = performance_on(workshop.data.validation, model, workshop.target.task.output)
    Store(project.store_place).save(address, model, performance)
    return time.perf_counter() - started


def _load(workshop: Workshop, seed: int) -> nn.Module:
    store, address = Store(workshop.project.store_place), sibling_address(workshop, seed)
    if not store.holds(address):
        raise DataError(f"{store.folder} lacks a sibling of the target: run 'metav-audit zoo {workshop.project.path}'")
    return store.load(address, copy.deepcopy(workshop.target.network))


@torch.no_grad()
def _check_chance(workshop: Workshop, seeds: tuple[int, ...]) -> None:
    """Raise DataError if the first reruns answer like each other, or like the target: nothing in them is chance."""
    inputs = torch.from_numpy(workshop.data.validation.inputs[:256])
    models = [workshop.target.network, *(_load(workshop, seed) for seed in seeds)]
    answers = [model(inputs).numpy() for model in models]
    same = [one for one in answers[1:] if np.allclose(one, answers[0], atol=1e-6)]
    among = [one for one in answers[2:] if np.allclose(one, answers[1], atol=1e-6)]
    if len(same) == len(seeds) or len(among) == len(seeds) - 1:
        raise DataError(
            "reruns of the training program give the same model whatever the seed: without chance in it there are no "
            "siblings. Draw from the seed what may truthfully vary (initial weights, the order of the data, the split "
            "into training and validation data, rows or columns of each tree), or fit without [training]"
        )
