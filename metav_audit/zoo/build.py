"""Train what the store lacks, on all cores, and write down what the zoo then holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import joblib
import torch
from torch import nn

from metav_audit.config import nearest
from metav_audit.errors import ConfigurationError, DataError
from metav_audit.files import write_atomically
from metav_audit.progress import Progress, silent
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.data import performance_on
from metav_audit.zoo.formats.opaque import has_gradients
from metav_audit.zoo.inspection import inspect
from metav_audit.zoo.plan import Plan
from metav_audit.zoo.presets import plan_zoo
from metav_audit.zoo.program import check_program, run_program_on
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.recipes import registry
from metav_audit.zoo.recipes.base import fresh_model
from metav_audit.zoo.recipes.learners import LEARNERS
from metav_audit.zoo.siblings import make_siblings
from metav_audit.zoo.store import Store, content_address
from metav_audit.zoo.surrogates import Surrogate, SurrogateZoo

USEFUL_SHARE = 0.7
"""A surrogate that performs below this share of the target's own performance is left out: no one would deploy it."""


def build_zoo(
    project: Project,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda _: None,
) -> SurrogateZoo:
    """Train the surrogates that the store lacks, and the target's siblings where it has any; return the zoo.

    Args:
        project: the owner's project.
        jobs: worker processes, one torch thread each; all cores by default.
        progress: told of every model trained.
        tell: told, before anything is trained, what was seen of the owner's model and data.

    Raises:
        ConfigurationError, DataError: the project, its model or its data do not fit.
    """
    workshop = open_workshop(project)
    settings = project.settings
    plans = plan_zoo(
        settings.zoo.preset, architectures_of(workshop), settings.seed, project.task.output.kind, project.rates,
        opaque=not has_gradients(workshop.target.network),
    )  # fmt: skip
    _check_ready(workshop)
    for line in inspect(workshop):
        tell(line)
    make_models(workshop, plans, jobs=jobs, progress=progress)
    make_siblings(workshop, jobs=jobs, progress=progress)
    zoo = _collect(workshop, plans)
    text = json.dumps(zoo.to_json(), indent=1, sort_keys=True)
    write_atomically(project.store / "zoo.json", text.encode() + b"\n")
    return zoo


def architectures_of(workshop: Workshop) -> tuple[str, ...]:
    """Return the surrogates' architectures: those that the project names, or those that suit target and task."""
    if has_gradients(workshop.target.network):
        return workshop.project.architectures
    return workshop.project.settings.zoo.architectures or tuple(LEARNERS)


def _check_ready(workshop: Workshop) -> None:
    """Find what would spoil a whole zoo before any model is trained.

    Raises:
        ConfigurationError, DataError: an architecture cannot be built, or a program is missing.
    """
    check_program(workshop)
    task = workshop.target.task
    for name in architectures_of(workshop):
        if has_gradients(workshop.target.network):
            build_architecture(name, task)
        elif name not in LEARNERS:
            raise ConfigurationError(
                f"architecture {name!r} is none of those beside a target without gradients: use some of "
                f"{', '.join(LEARNERS)}{nearest(name, LEARNERS)}, or leave architectures out"
            )
    if not has_gradients(workshop.target.network) and workshop.project.settings.training is None:
        raise ConfigurationError(
            "a target of another library can be asked and fitted again, no more: name the program that fits it below "
            f'[training] in {workshop.project.path}: program = "module:function", taking (seed, data) and returning '
            "the fitted model"
        )


def make_models(workshop: Workshop, plans: Iterable[Plan], *, jobs: int | None, progress: Progress = silent) -> None:
    """Train the plans that the store lacks, parents first; each model is stored the moment it is done."""
    store, context = Store(workshop.project.store), context_address(workshop)
    missing = [plan for plan in plans if store.performance(address_of(plan, context)) is None]
    done = 0
    progress(done, len(missing))
    for depth in sorted({plan.depth for plan in missing}):
        tasks = [joblib.delayed(_make_one)(workshop.project, plan) for plan in missing if plan.depth == depth]
        workers = joblib.Parallel(n_jobs=jobs or os.cpu_count(), return_as="generator_unordered", batch_size=1)
        for _ in workers(tasks):
            done += 1
            progress(done, len(missing))


@lru_cache(maxsize=4)
def context_address(workshop: Workshop) -> str:
    """Return the hash of all that decides a surrogate's weights beside its plan."""
    return content_address({"workshop": workshop.to_json(), "recipes": registry.RECIPE_VERSION})


def address_of(plan: Plan, context: str) -> str:
    """Return a plan's content address in the store."""
    return content_address({"plan": plan.making(), "context": context})


def load_model(workshop: Workshop, plan: Plan) -> nn.Module:
    """Load a stored model, frozen and in evaluation mode."""
    target = workshop.target
    structure = fresh_model(plan.architecture, target.network, target.task, plan.seed)
    store = Store(workshop.project.store)
    model = store.load(address_of(plan, context_address(workshop)), structure)
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


def _make_one(project: Project, plan: Plan) -> None:
    """Train one plan in a worker process and store it."""
    torch.set_num_threads(1)
    workshop = open_workshop(project)
    target, data = workshop.target, workshop.data
    parent = load_model(workshop, plan.parent) if plan.parent else target.network
    try:
        program = None if has_gradients(target.network) else partial(run_program_on, workshop)
        model = registry.make_surrogate(plan, parent, target.network, target.task, data, program)
        performance = performance_of(model, workshop)
    except DataError:
        # One diverged training is no reason to lose the zoo: an untrained model is useless, and so left out.
        model, performance = fresh_model(plan.architecture, target.network, target.task, plan.seed), 0.0
    Store(project.store).save(address_of(plan, context_address(workshop)), model, performance)


def performance_of(model: nn.Module, workshop: Workshop) -> float:
    """Return a model's performance on the validation data."""
    return performance_on(workshop.data.validation, model, workshop.target.task.output)


def _collect(workshop: Workshop, plans: Iterable[Plan]) -> SurrogateZoo:
    store, context = Store(workshop.project.store), context_address(workshop)
    floor = USEFUL_SHARE * performance_of(workshop.target.network, workshop)
    kept, left_out = [], 0
    for plan in plans:
        address = address_of(plan, context)
        performance = store.performance(address)
        if performance is None:
            raise DataError(f"the zoo's model {address} vanished from {store.folder}: run 'metav-audit zoo' again")
        if performance >= floor:
            kept.append(Surrogate(plan, address, performance))
        else:
            left_out += 1
    return SurrogateZoo(tuple(kept), workshop.target.sha256, left_out)
