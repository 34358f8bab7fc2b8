"""Does a replay give the target again? The same seed in a fresh process, and with another number of threads.

    python -m tests.bench.foreign.replays --targets 20

For the built-in trainer, a program of the owner's own (both on digits), scikit-learn's perceptron on digits and
LightGBM's trees on Adult incomes: how many of so many targets are reproduced, nearly reproduced and not reproduced.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.zoo.habits import TrainingHabits, train_by_habits
from metav_audit.zoo.project import Workshop, load_project, open_workshop
from metav_audit.zoo.replay import ReplayStatus, compare_answers
from tests.bench.foreign import programs
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.learners import Trees, quietly
from tests.bench.foreign.tasks import DATA, write_task

Answers = NDArray[np.floating]
SIBLINGS = 3
"""Runs of other seeds, to tell near from far."""


@lru_cache
def workshop_of(project: Path) -> Workshop:
    """Open a project once a process."""
    return open_workshop(load_project(project))


def _built_in(workshop: Workshop, seed: int, threads: int) -> Answers:
    model = train_by_habits(TrainingHabits.read({}), workshop.target, workshop.data, seed)
    return features_of_all([model], workshop.data.validation.inputs, workshop.target.task.output)[0]


def _own(workshop: Workshop, seed: int, threads: int) -> Answers:
    model = programs.digits(seed, workshop.data.train)
    return features_of_all([model], workshop.data.validation.inputs, workshop.target.task.output)[0]


def _scikit_learn(workshop: Workshop, seed: int, threads: int) -> Answers:
    from sklearn.neural_network import MLPClassifier

    data = workshop.data
    model = MLPClassifier((64,), max_iter=60, random_state=seed)
    with quietly():
        model.fit(data.train.inputs.reshape(len(data.train), -1), data.train.labels)
        shares = model.predict_proba(data.validation.inputs.reshape(len(data.validation), -1))
    return np.log(np.clip(shares, 1e-6, None))


def _lightgbm(workshop: Workshop, seed: int, threads: int) -> Answers:
    from lightgbm import LGBMClassifier

    data, subsets = workshop.data, {"subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.8}
    model = LGBMClassifier(
        n_estimators=40, learning_rate=0.15, random_state=seed, n_jobs=threads, verbose=-1, **subsets
    )
    with quietly():
        model.fit(data.train.inputs, data.train.labels)
    return features_of_all([Trees(model)], data.validation.inputs, workshop.target.task.output)[0]


PROGRAMS: Mapping[str, tuple[str, Callable[[Workshop, int, int], Answers]]] = {
    "built-in": ("digits-1", _built_in),
    "the owner's own": ("digits-1", _own),
    "scikit-learn": ("digits-1", _scikit_learn),
    "LightGBM": ("adult-3", _lightgbm),
}
"""A program: the project whose data it trains on, and how."""


def run(project: Path, name: str, threads: int, seed: int) -> Answers:
    """Train one model, and return its features on natural inputs."""
    torch.set_num_threads(threads)
    return PROGRAMS[name][1](workshop_of(project), seed, threads)


def run_all(project: Path, name: str, seeds: range, threads: int) -> list[Answers]:
    """Train one model a seed, in a fresh process."""
    from threadpoolctl import threadpool_limits

    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=start, initializer=threadpool_limits, initargs=(threads,)) as process:
        return list(process.map(partial(run, project, name, threads), seeds))


def main() -> None:
    """Print a row a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="standard")
    told = parser.parse_args()
    print(f"{'program':<18}{'threads':>8}  outcomes")
    for name, (owner, _) in PROGRAMS.items():
        task, _, number = owner.rpartition("-")
        project = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        space, seeds = workshop_of(project).target.task.output, range(told.targets)
        targets = run_all(project, name, seeds, 1)
        siblings = run_all(project, name, range(1000, 1000 + SIBLINGS), 1)
        for threads in (1, 2):
            again = run_all(project, name, seeds, threads)
            found: Counter[Any] = Counter(
                compare_answers(np.stack([target, *siblings]), one, seed, space).status
                for seed, target, one in zip(seeds, targets, again, strict=True)
            )
            words = ", ".join(f"{found[status]} {status}" for status in ReplayStatus)
            print(f"{name:<18}{threads:>8}  {words}", flush=True)


if __name__ == "__main__":
    main()
