"""Train what the store lacks, on all cores, and write down what the zoo then holds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.progress import Progress, silent
from metav_audit.zoo.ancestor import load_ancestor
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.beforehand import check_beforehand
from metav_audit.zoo.crew import count_workers, crew_of
from metav_audit.zoo.data import performance_on
from metav_audit.zoo.forecast import (
    LONG,
    SHARES,
    TRIED,
    Stopwatch,
    kind_of,
    largest_share,
    line_of,
    tried_first,
)
from metav_audit.zoo.formats.opaque import answers_anything, has_gradients, shown_like
from metav_audit.zoo.inspection import inspect
from metav_audit.zoo.own import load_own, own_lines, own_plans
from metav_audit.zoo.plan import Plan
from metav_audit.zoo.presets import plan_zoo, split_sizes
from metav_audit.zoo.program import run_program_on
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.recipes import registry
from metav_audit.zoo.recipes.base import fresh_model
from metav_audit.zoo.recipes.learners import LEARNERS
from metav_audit.zoo.siblings import make_siblings, missing_siblings
from metav_audit.zoo.store import Store, check_same_making, content_address
from metav_audit.zoo.surrogates import Surrogate, SurrogateZoo
from metav_audit.zoo.target import check_weights

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
        jobs: worker processes, one torch thread each; all cores by default. None where a cluster trains.
        progress: told of every model trained.
        tell: told, before anything is trained, what was seen of the owner's model and data.

    Raises:
        ConfigurationError, DataError: the project, its model or its data do not fit.
        RemoteError: the project's cluster or store is elsewhere, and fails.
    """
    workshop = open_workshop(project)
    plans = plans_of(workshop)
    _check_ready(workshop)
    for line in inspect(workshop):
        tell(line)
    for line in own_lines(project):
        tell(line)
    _make_all(workshop, plans, jobs, progress, tell)
    zoo = _collect(workshop, plans)
    text = json.dumps(zoo.to_json(), indent=1, sort_keys=True)
    Store(project.store_place).write("zoo.json", text.encode() + b"\n")
    return zoo


def plans_of(workshop: Workshop, share: float | None = None) -> tuple[Plan, ...]:
    """Lay out a project's zoo, or that of another share of its preset; errors: ``plan_zoo``'s, ``load_ancestor``'s."""
    project, opaque = workshop.project, not has_gradients(workshop.target.network)
    zoo, ancestor = project.settings.zoo, None if opaque else load_ancestor(workshop)
    plans = plan_zoo(
        zoo.preset,
        architectures_of(workshop),
        project.settings.seed,
        project.task.output.kind,
        project.rates,
        ancestor=None if ancestor is None else ancestor.sha256,
        opaque=opaque,
        share=share or project.share or zoo.share,
    )
    return plans if answers_anything(workshop.target.network) else tuple(map(_unblended, plans))


def _unblended(plan: Plan) -> Plan:
    """Leave inputs of a thief's own making out of a plan: a target that was asked beforehand does not know them."""
    settings = {**plan.settings, "blends": 0.0} if "blends" in plan.settings else plan.settings
    return replace(plan, settings=settings, parent=plan.parent and _unblended(plan.parent))


def choose_share(
    project: Project, budget: float, *, jobs: int | None = None, progress: Progress = silent
) -> tuple[float, dict[str, float]]:
    """Train two models of each kind and the first siblings, and return the largest share that fits what is left.

    Args:
        project: the owner's.
        budget: seconds, those that the trial takes included.
        jobs: worker processes; all cores by default.
        progress: told of every model trained.

    Returns:
        The share of the preset, and by part the seconds that the rest of it will take.

    Raises:
        DataError: not even the smallest share fits.
    """
    workshop, started = open_workshop(project), time.perf_counter()
    _check_ready(workshop)
    watch = _stopwatch(workshop, jobs)
    for seconds in make_siblings(workshop, jobs=jobs, only_first=True):
        watch.note_sibling(seconds)
    ahead = [plan for plan in tried_first(missing_of(workshop, plans_of(workshop, SHARES[-1]))) if plan.depth == 0]
    some: dict[str, list[Plan]] = {}
    for plan in ahead:
        some.setdefault(kind_of(plan), []).append(plan)
    trial = [plan for each in some.values() for plan in each[:TRIED]]
    make_models(workshop, trial, jobs=jobs, progress=progress, timed=watch.note)

    def parts(plans: Iterable[Plan]) -> dict[str, float]:
        return watch.parts(missing_of(workshop, plans), len(missing_siblings(workshop)))

    left = budget - (time.perf_counter() - started)
    share = largest_share(left, lambda each: plans_of(workshop, each), lambda plans: sum(parts(plans).values()))
    return share, parts(plans_of(workshop, share))


def _stopwatch(workshop: Workshop, jobs: int | None) -> Stopwatch:
    data = workshop.data
    workers = count_workers(*workshop.project.crew_with(jobs))
    return Stopwatch(workers, {"train": len(data.train), "heldout": len(data.heldout)})


def _make_all(
    workshop: Workshop, plans: Sequence[Plan], jobs: int | None, progress: Progress, tell: Callable[[str], None]
) -> None:
    """Train siblings and models; after two of each kind tell how long the rest will take, where it takes long."""
    watch = _stopwatch(workshop, jobs)
    # Whether reruns differ at all is seen first: without that no zoo is of use to the method siblings.
    for seconds in make_siblings(workshop, jobs=jobs, progress=progress, only_first=True):
        watch.note_sibling(seconds)
    wanted = missing_of(workshop, plans)
    made: list[Plan] = []

    def timed(plan: Plan, seconds: float) -> None:
        known = watch.knows(wanted)
        watch.note(plan, seconds)
        made.append(plan)
        if known or not watch.knows(wanted):
            return
        parts = watch.parts([each for each in wanted if each not in made], len(missing_siblings(workshop)))
        if sum(parts.values()) >= LONG:
            tell(line_of(parts))

    make_models(workshop, plans, jobs=jobs, progress=progress, timed=timed)
    make_siblings(workshop, jobs=jobs, progress=progress)


def architectures_of(workshop: Workshop) -> tuple[str, ...]:
    """Return the surrogates' architectures: those that the project names, or those that suit target and task."""
    if has_gradients(workshop.target.network):
        return workshop.project.architectures
    return workshop.project.settings.zoo.architectures or tuple(LEARNERS)


def _check_ready(workshop: Workshop) -> None:
    """Find what would spoil a whole zoo before any model is trained.

    Raises:
        ConfigurationError, DataError: an architecture cannot be built; and those of ``check_beforehand``.
    """
    target = workshop.target
    check_weights(target)
    check_beforehand(workshop.project, gradients=has_gradients(target.network))
    for name in architectures_of(workshop) if has_gradients(target.network) else ():
        build_architecture(name, target.task)


def make_models(
    workshop: Workshop,
    plans: Iterable[Plan],
    *,
    jobs: int | None,
    progress: Progress = silent,
    timed: Callable[[Plan, float], None] = lambda _, __: None,
) -> None:
    """Train the plans that the store lacks, parents first; each model is stored the moment it is done.

    Args:
        workshop: the owner's.
        plans: what to train.
        jobs: worker processes; all cores by default.
        progress: told of every model trained.
        timed: told of every model trained, and how many seconds it took.
    """
    missing, context = missing_of(workshop, plans), context_address(workshop)
    done = 0
    progress(done, len(missing))
    if not missing:
        return
    with crew_of(*workshop.project.crew_with(jobs)) as crew:
        for depth in sorted({plan.depth for plan in missing}):
            batch = tried_first([plan for plan in missing if plan.depth == depth])
            tasks = [(workshop.project, plan, address_of(plan, context)) for plan in batch]
            for (_, plan, _), seconds in crew.each(_make_one, tasks):
                done += 1
                timed(plan, seconds)
                progress(done, len(missing))


def missing_of(workshop: Workshop, plans: Iterable[Plan]) -> list[Plan]:
    """Return the plans that the store lacks."""
    store, context = Store(workshop.project.store_place), context_address(workshop)
    return [plan for plan in plans if store.performance(address_of(plan, context)) is None]


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
    if plan.own is not None:
        return shown_like(load_own(workshop.project, plan.own), target.network)
    structure = fresh_model(plan.architecture, target.network, target.task, plan.seed)
    store = Store(workshop.project.store_place)
    model = store.load(address_of(plan, context_address(workshop)), structure)
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


def _make_one(task: tuple[Project, Plan, str]) -> float:
    """Train a project's plan in a worker process and store it at its address; return the seconds that it took."""
    project, plan, address = task
    torch.set_num_threads(1)
    workshop = open_workshop(project)
    store = Store(project.store_place)
    check_same_making(address_of(plan, context_address(workshop)), address)
    # What a process reads but once is no model's time.
    started = time.perf_counter()
    if store.performance(address) is not None:
        return time.perf_counter() - started
    target, data = workshop.target, workshop.data
    parent = load_model(workshop, plan.parent) if plan.parent else target.network
    try:
        program = None if has_gradients(target.network) else partial(run_program_on, workshop)
        ancestor = load_ancestor(workshop) if plan.ancestor else None
        model = registry.make_surrogate(
            plan, parent, target.network, target.task, data, ancestor=ancestor, program=program, device=project.device
        )
        model = shown_like(model, target.network)
        performance = performance_of(model, workshop)
    except DataError:
        # One diverged training is no reason to lose the zoo: an untrained model is useless, and so left out.
        model, performance = fresh_model(plan.architecture, target.network, target.task, plan.seed), 0.0
    store.save(address, model, performance)
    return time.perf_counter() - started


def performance_of(model: nn.Module, workshop: Workshop) -> float:
    """Return a model's performance on the validation data."""
    return performance_on(workshop.data.validation, model, workshop.target.task.output, workshop.project.device)


def _collect(workshop: Workshop, plans: Sequence[Plan]) -> SurrogateZoo:
    store, context = Store(workshop.project.store_place), context_address(workshop)
    floor = USEFUL_SHARE * performance_of(workshop.target.network, workshop)
    made = []
    for plan in plans:
        performance = store.performance(address_of(plan, context))
        if performance is None:
            address = address_of(plan, context)
            raise DataError(f"the zoo's model {address} vanished from {store.folder}: run 'metav-audit zoo' again")
        made.append((plan, performance))
    made += own_plans(workshop, split_sizes(plans))
    kept = tuple(Surrogate(plan, address_of(plan, context), reached) for plan, reached in made if reached >= floor)
    return SurrogateZoo(kept, workshop.target.sha256, len(made) - len(kept))
