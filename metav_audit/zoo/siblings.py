"""Siblings: reruns of the owner's own training program with other seeds, stored beside the zoo.

Given the data and a suspect that came to be without the target, target and siblings are exchangeable: that is what an
exact p-value stands on; see ``metav_audit.bundle.forms.siblings``.
"""

from __future__ import annotations

import copy
import os
from functools import lru_cache

import joblib
import numpy as np
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.progress import Progress, silent
from metav_audit.zoo.data import performance_on
from metav_audit.zoo.program import describe_program, run_program
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.store import Store, content_address

FIRST = 3
"""Siblings that are trained before all others, to see whether reruns differ at all."""


def make_siblings(workshop: Workshop, *, jobs: int | None = None, progress: Progress = silent) -> None:
    """Train the siblings that the store lacks; each is stored the moment it is done.

    Args:
        workshop: the owner's; nothing is done where its project names no training program.
        jobs: worker processes, one torch thread each; all cores by default.
        progress: told of every sibling trained.

    Raises:
        ConfigurationError: the program cannot be found.
        DataError: it fails, its models are not built like the target, or its reruns give the same model again.
    """
    seeds = workshop.project.sibling_seeds
    store = Store(workshop.project.store)
    missing = [seed for seed in seeds if store.performance(sibling_address(workshop, seed)) is None]
    if not missing:
        return
    done = 0
    progress(done, len(missing))
    first = [seed for seed in seeds[:FIRST] if seed in missing]
    for batch in (first, [seed for seed in missing if seed not in first]):
        workers = joblib.Parallel(n_jobs=jobs or os.cpu_count(), return_as="generator_unordered", batch_size=1)
        for _ in workers(joblib.delayed(_make_one)(workshop.project, seed) for seed in batch):
            done += 1
            progress(done, len(missing))
        _check_chance(workshop, seeds[:FIRST])


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


def _make_one(project: Project, seed: int) -> None:
    torch.set_num_threads(1)
    workshop = open_workshop(project)
    model = run_program(workshop, seed)
    performance = performance_on(workshop.data.validation, model, workshop.target.task.output)
    Store(project.store).save(sibling_address(workshop, seed), model, performance)


def _load(workshop: Workshop, seed: int) -> nn.Module:
    store, address = Store(workshop.project.store), sibling_address(workshop, seed)
    if not store.path(address).exists():
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
