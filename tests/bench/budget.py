"""Is a zoo's forecast true, and is a budget kept? python -m tests.bench.budget --data-dir ../shared/data

The target is a residual network on skin lesions of 32 x 32 in colour. Its zoo, of the usual recipes at a few epochs, is
trained one model after another, and told by the processor's time of this process: what else the machine does changes no
figure. After two models of each kind the rest is forecast, and trained; then, with another seed, a share of the zoo is
chosen that fits half of what the whole would take, and trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import safetensors.torch
import tomlkit
import torch
from torch import nn

from metav_audit.progress import ProgressLine
from metav_audit.task import ClassScores, ImageDomain, TaskSpec
from metav_audit.zoo import build, siblings
from metav_audit.zoo.architectures import resnet
from metav_audit.zoo.forecast import TRIED, kind_of, line_of
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset
from metav_audit.zoo.project import Project, load_project, open_workshop
from metav_audit.zoo.recipes.base import Habits
from metav_audit.zoo.recipes.registry import RECIPES
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import descend, seeded
from tests.bench import tasks

TASK = TaskSpec(ImageDomain(3, 32, 32), ClassScores(tuple(tasks.LESIONS.output.labels)))
PRESET = Preset(
    derived={Split.FIT: 30, Split.CALIBRATION: 10, Split.TEST: 0},
    independent={Split.FIT: 30, Split.CALIBRATION: 10, Split.TEST: 0},
    twins={Split.FIT: 1.0, Split.CALIBRATION: 0.5, Split.TEST: 0.0},
)
EPOCHS = 8
"""A recipe trains this much more briefly than it would."""
ROWS = 100
CLOCK = SimpleNamespace(perf_counter=time.process_time)


def network() -> nn.Module:
    """A residual network of three blocks."""
    return resnet(8, 3)(TASK)


def train(seed: int, data) -> nn.Module:
    """The owner's program."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    pairs = (torch.from_numpy(data.inputs), torch.from_numpy(data.labels))
    loss = nn.functional.cross_entropy
    descend(model, list(model.parameters()), pairs, loss, epochs=2, rate=3e-3, generator=seeded(seed))
    return model


def write_project(folder: Path, seed: int, data: Path) -> Project:
    """Write data, target and project.toml."""
    inputs, labels, ends = tasks.lesions(data)
    padded = np.pad(inputs, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    folder.mkdir(parents=True, exist_ok=True)
    starts = (0, *ends[:-1])
    for name, start in zip(("train", "heldout", "validation"), starts, strict=True):
        np.savez(folder / f"{name}.npz", x=padded[start : start + ROWS], y=labels[start : start + ROWS])
    told = {
        "name": "budget", "seed": seed,
        "task": {**TASK.to_json()["output"], "input": TASK.to_json()["input"]},
        "target": {"model": "tests.bench.budget:network", "weights": "target.safetensors", "outputs": "logits"},
        "data": {name: f"{name}.npz" for name in ("train", "heldout", "validation")},
        "training": {"program": "tests.bench.budget:train", "siblings": 9},
        "zoo": {"preset": "budget", "architectures": ["cnn-small", "resnet-small"]},
        "rates": {"false_match": 0.1, "false_no_match": 0.1},
    }  # fmt: skip
    (folder / "project.toml").write_text(tomlkit.dumps(told))
    project = load_project(folder)
    # Only what is timed counts here: an untrained target would do as well.
    torch.manual_seed(seed)
    safetensors.torch.save_file(state_of(network()), folder / "target.safetensors")
    return project


def shorter(name: str):
    """A recipe at a fraction of its epochs, drawn from a range as wide in proportion."""
    recipe = RECIPES[name]
    if recipe.habits is None:
        return recipe
    low, high = recipe.habits.epochs
    return dataclasses.replace(recipe, habits=Habits((max(1, low // EPOCHS), high // EPOCHS + 2), recipe.habits.rate))


def forecast(project: Project) -> tuple[float, float, float]:
    """Train a whole zoo; return seconds of all of it, of the rest as forecast, and of the rest."""
    workshop = open_workshop(project)
    plans = build.plans_of(workshop)
    watch = build._stopwatch(workshop, 1)
    began = time.process_time()
    for seconds in siblings.make_siblings(workshop, jobs=1, only_first=True):
        watch.note_sibling(seconds)
    told: list[tuple[float, float]] = []
    made = []

    def timed(plan, seconds):
        known = watch.knows(plans)
        watch.note(plan, seconds)
        made.append(plan)
        if watch.knows(plans) and not known:
            parts = watch.parts([each for each in plans if each not in made], 6)
            print(f"after {len(made)} of {len(plans)} models: {line_of(parts)}", flush=True)
            told.append((sum(parts.values()), time.process_time()))

    build.make_models(workshop, plans, jobs=1, timed=timed, progress=ProgressLine("models"))
    siblings.make_siblings(workshop, jobs=1)
    ended = time.process_time()
    return ended - began, told[0][0], ended - told[0][1]


def budgeted(project: Project, budget: float) -> tuple[float, float]:
    """Choose a share for a budget and train it; return the share and the seconds of all."""
    began = time.process_time()
    share, _ = build.choose_share(project, budget, jobs=1)
    chosen = dataclasses.replace(project, share=share)
    workshop = open_workshop(chosen)
    build.make_models(workshop, build.plans_of(workshop), jobs=1, progress=ProgressLine("models in the budget"))
    siblings.make_siblings(workshop, jobs=1)
    return share, time.process_time() - began


def main() -> None:
    """Print the forecast beside the truth, and what a budget became."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=tasks.DATA)
    parser.add_argument("--root", type=Path)
    told = parser.parse_args()
    torch.set_num_threads(1)
    PRESETS["budget"] = PRESET
    short = {name: shorter(name) for name in RECIPES}
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("metav_audit.zoo.presets.RECIPES", short),
        mock.patch("metav_audit.zoo.build.time", CLOCK),
        mock.patch("metav_audit.zoo.siblings.time", CLOCK),
    ):
        root = told.root or Path(folder)
        first = write_project(root / "whole", 1, told.data_dir)
        kinds = {kind_of(plan) for plan in build.plans_of(open_workshop(first)) if plan.depth == 0}
        print(f"{len(kinds)} kinds, {TRIED} of each timed", flush=True)
        whole, expected, rest = forecast(first)
        print(f"forecast of the rest {expected:.1f} s, truth {rest:.1f} s: ratio {expected / rest:.2f}", flush=True)
        for part in (0.8, 0.65):
            second = write_project(root / f"part-{part}", round(100 * part), told.data_dir)
            share, taken = budgeted(second, part * whole)
            print(
                f"budget {part * whole:.1f} s ({part:.0%} of the whole): share {share}, took {taken:.1f} s: ratio "
                f"{taken / (part * whole):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
