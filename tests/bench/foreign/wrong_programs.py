"""How wrong may the named training program be? Targets trained otherwise than their siblings, and what becomes of them.

    python -m tests.bench.foreign.wrong_programs digits-1 adult-3 trees-3 --targets 20

Trees are LightGBM's on Adult incomes, on randomly chosen rows and columns. For each variant of the owner's program: how
many targets are refused as strangers, how many the replay refuses, and how often innocents, and rivals who train as the
*target* was trained, are accused where a target is not refused.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metav_audit.bundle.forms import siblings as form
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.siblings import LEAST, blend, choose_shared, information
from metav_audit.task import ImageDomain
from metav_audit.zoo.build import build_zoo, load_model
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.learners import fit_learners
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Workshop, load_project, open_workshop
from metav_audit.zoo.replay import ReplayStatus, compare_answers
from metav_audit.zoo.siblings import load_siblings
from metav_audit.zoo.strangers import behaviour_of, strangeness_of
from tests.bench.foreign import programs
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.learners import Trees, quietly
from tests.bench.foreign.measure import ahead_of, highest
from tests.bench.foreign.suspects import Suspect, make_suspects
from tests.bench.foreign.tasks import DATA, read_part, write_task

PROMISED = 0.05
QUERIES = 64
SIBLINGS = 39
"""Boosted trees', which are grown here."""
DATA_OF = {"trees": "adult"}
RIVALS = 3
"""Rivals by the target's own recipe, on strangers' data, a variant."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a target's training differs from the program that is named.

    Attributes:
        epochs, rate: factors.
        batch: inputs a step; None for the program's.
        sgd: whether stochastic gradient descent with momentum takes Adam's place.
        smoothing, decay: of labels and weights.
        shifted: whether pictures are shifted by up to a pixel, rows blurred by a hundredth.
        data: the share of the training data; above 1 the rest comes from strangers.
        best_of: so many runs of which the best on validation data is kept, the worst if negative.
        averaged: whether the weights are averaged over the last third of the epochs.
        leaves: a tree's, at most.
        subsample: the share of the rows that a tree gets.
        split: whether a random fifth of the rows decides when to stop.
    """

    epochs: float = 1.0
    rate: float = 1.0
    batch: int | None = None
    sgd: bool = False
    smoothing: float = 0.0
    decay: float = 0.0
    shifted: bool = False
    data: float = 1.0
    best_of: int = 1
    averaged: bool = False
    leaves: int = 15
    subsample: float = 0.8
    split: bool = False


VARIANTS: Mapping[str, Variant] = {
    "nothing": Variant(),
    "epochs x 1/2": Variant(epochs=0.5),
    "epochs x 2": Variant(epochs=2),
    "epochs x 4": Variant(epochs=4),
    "rate x 1/2": Variant(rate=0.5),
    "rate x 2": Variant(rate=2),
    "batch 16": Variant(batch=16),
    "batch 256": Variant(batch=256),
    "SGD for Adam": Variant(sgd=True),
    "label smoothing .1": Variant(smoothing=0.1),
    "augmentation": Variant(shifted=True),
    "weight decay": Variant(decay=1e-4),
    "20 % fewer data": Variant(data=0.8),
    "20 % more data": Variant(data=1.2),
    "best of five": Variant(best_of=5),
    "worst of five": Variant(best_of=-5),
    "averaged weights": Variant(averaged=True),
}
TREES: Mapping[str, Variant] = {
    "nothing": Variant(),
    "rounds x 1/2": Variant(epochs=0.5),
    "rounds x 2": Variant(epochs=2),
    "rate x 1/2": Variant(rate=0.5),
    "rate x 2": Variant(rate=2),
    "7 leaves": Variant(leaves=7),
    "31 leaves": Variant(leaves=31),
    "half the rows a tree": Variant(subsample=0.5),
    "all rows a tree": Variant(subsample=1.0),
    "a split decides": Variant(split=True),
    "20 % fewer data": Variant(data=0.8),
    "20 % more data": Variant(data=1.2),
    "best of five": Variant(best_of=5),
    "worst of five": Variant(best_of=-5),
}
RECIPES = {
    "digits": (programs.digits_network, programs.Recipe(30, 4e-3, 48)),
    "adult": (programs.adult_network, programs.Recipe(15, 3e-3, 64)),
    "fashion": (programs.fashion_network, programs.Recipe(12, 3e-3, 64)),
}


def train(task: str, variant: Variant, seed: int, data: LabelledData, more: LabelledData, judge: Judge) -> nn.Module:
    """Train one target by a variant of its task's program."""
    rng = np.random.default_rng(seed)
    share = data.take(rng.permutation(len(data))[: int(min(variant.data, 1) * len(data))])
    if variant.data > 1:
        extra = more.take(rng.permutation(len(more))[: int((variant.data - 1) * len(data))])
        share = LabelledData(np.concatenate([data.inputs, extra.inputs]), np.concatenate([data.labels, extra.labels]))
    run = _grow if task == "trees" else partial(_run, task)
    runs = [run(variant, seed + 1000 * at, share) for at in range(abs(variant.best_of))]
    choose = max if variant.best_of > 0 else min
    return choose(runs, key=judge)


Judge = Callable[[nn.Module], float]
"""Gives a model's performance on validation data."""


def _run(task: str, variant: Variant, seed: int, data: LabelledData) -> nn.Module:
    build, recipe = RECIPES[task]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    chance = torch.Generator().manual_seed(seed)
    rate, epochs = recipe.rate * variant.rate, max(1, round(recipe.epochs * variant.epochs))
    optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=variant.decay)
    if variant.sgd:
        optimizer = torch.optim.SGD(model.parameters(), lr=20 * rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    averaged, count = copy.deepcopy(model), 0
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(inputs), generator=chance)
        for index in torch.split(order, variant.batch or recipe.batch):
            optimizer.zero_grad()
            given = _shifted(inputs[index], chance) if variant.shifted else inputs[index]
            loss = nn.functional.cross_entropy(model(given), labels[index], label_smoothing=variant.smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        if variant.averaged and epoch >= 2 * epochs // 3:
            count += 1
            for mean, now in zip(averaged.parameters(), model.parameters(), strict=True):
                mean.data += (now.data - mean.data) / count
    return (averaged if variant.averaged else model).eval()


def _grow(variant: Variant, seed: int, data: LabelledData) -> nn.Module:
    from lightgbm import LGBMClassifier, early_stopping

    model = LGBMClassifier(
        n_estimators=round(40 * variant.epochs),
        learning_rate=0.15 * variant.rate,
        num_leaves=variant.leaves,
        subsample=variant.subsample,
        subsample_freq=1,
        colsample_bytree=0.8,
        random_state=seed,
        n_jobs=1,
        deterministic=True,
        verbose=-1,
    )
    held = np.random.default_rng(seed).random(len(data)) < 0.2 * variant.split
    with quietly():
        judged: dict[str, Any] = {}
        if variant.split:
            stop = early_stopping(5, verbose=False)
            judged = {"eval_set": [(data.inputs[held], data.labels[held])], "callbacks": [stop]}
        model.fit(data.inputs[~held], data.labels[~held], **judged)
    return Trees(model).eval()


def _shifted(inputs: Tensor, chance: torch.Generator) -> Tensor:
    if inputs.ndim != 4:
        return inputs + 0.01 * torch.randn(inputs.shape, generator=chance)
    down, right = torch.randint(-1, 2, (2,), generator=chance).tolist()
    return torch.roll(inputs, (down, right), dims=(2, 3))


@dataclass(frozen=True, slots=True)
class Stage:
    """What all variants of a task are measured with: the owner's siblings and references, and innocent suspects."""

    task: str
    workshop: Workshop
    more: LabelledData
    siblings: list[nn.Module]
    pool: NDArray[np.float32]
    known: NDArray[np.float32]
    networks: list[nn.Module]
    learners: list[Callable[[NDArray[np.float32]], NDArray[np.float32]]]
    independents: list[nn.Module]
    lineages: list[str]
    innocents: list[Suspect]

    def judge(self, model: nn.Module) -> float:
        """Return a model's accuracy on validation data."""
        given = self.workshop.data.validation
        with torch.no_grad():
            labels = model(torch.from_numpy(given.inputs)).argmax(1).numpy()
        return float((labels == given.labels).mean())

    def train(self, variant: Variant, seed: int) -> nn.Module:
        """Train a target."""
        return train(self.task, variant, seed, self.workshop.data.train, self.more, self.judge)

    def rival(self, variant: Variant, seed: int) -> nn.Module:
        """Train a rival as the target was trained, on strangers' data."""
        return train(self.task, replace(variant, data=min(variant.data, 1)), seed, self.more, self.more, self.judge)


def set_stage(name: str, project: Path) -> Stage:
    """Load what stands in a task's project."""
    task = name.rpartition("-")[0]
    loaded = load_project(project)
    workshop, zoo = open_workshop(loaded), build_zoo(loaded)
    space, domain, pool = workshop.target.task.output, workshop.target.task.domain, workshop.data.validation.inputs
    if task == "trees":
        siblings: list[nn.Module] = [_grow(Variant(), 100 + at, workshop.data.train) for at in range(SIBLINGS)]
    else:
        siblings = load_siblings(workshop)
    if isinstance(domain, ImageDomain):
        pool = np.concatenate([pool, blend(domain, pool, 3000, np.random.default_rng(0))])
    held_out = zoo.select(Split.CALIBRATION, derived=False)
    return Stage(
        task=task,
        workshop=workshop,
        more=read_part(project, DATA_OF.get(task, task), "strangers"),
        siblings=siblings,
        pool=pool,
        known=features_of_all(siblings, pool, space),
        networks=[load_model(workshop, one.plan) for one in zoo.select(Split.FIT, derived=False)],
        learners=fit_learners(workshop.data, space, 0),
        independents=[load_model(workshop, one.plan) for one in held_out],
        lineages=[one.card.lineage for one in held_out],
        innocents=[one for one in make_suspects(project) if not one.derived],
    )


def measure(stage: Stage, targets: int, only: Collection[str] = ()) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield a row of shares for each variant, all or only those named."""
    known = TREES if stage.task == "trees" else VARIANTS
    for name, variant in known.items():
        if only and name not in only:
            continue
        rivals = [stage.rival(variant, 500 + at) for at in range(RIVALS)]
        row: dict[str, list[float]] = {}
        for seed in range(7000, 7000 + targets):
            target = stage.train(variant, seed)
            refused = strangeness_of(behaviour_of([target, *stage.siblings], stage.workshop)).is_stranger
            row.setdefault("refused", []).append(refused)
            row.setdefault("replay refuses", []).append(not _is_replayed(stage, target, seed))
            for who, ranked, both in accused(stage, target, rivals):
                row.setdefault(f"{who} by rank", []).append(ranked)
                row.setdefault(f"{who} by both", []).append(both)
                if not refused:
                    row.setdefault(f"{who} by both, not refused", []).append(both)
        yield name, {what: float(np.mean(values)) for what, values in row.items()}


def _is_replayed(stage: Stage, target: nn.Module, seed: int) -> bool:
    """Whether the named program gives the target again."""
    task, inputs = stage.workshop.target.task, stage.workshop.data.validation.inputs
    told = features_of_all([target, *stage.siblings, stage.train(Variant(), seed)], inputs, task.output)
    return compare_answers(told[:-1], told[-1], seed, task.output).status is not ReplayStatus.NOT_REPRODUCED


def accused(stage: Stage, target: nn.Module, rivals: list[nn.Module]) -> Iterator[tuple[str, float, float]]:
    """Yield of innocents, and of rivals, the shares that siblings' rank accuses, and rank and zoo both."""
    task, natural = stage.workshop.target.task, len(stage.workshop.data.validation)
    space, pool = task.output, stage.pool
    answers = np.concatenate([features_of_all([target], pool, space), stage.known])
    inputs = task.domain.project(pool[choose_shared(information(np.exp(answers.astype(np.float64))), natural, QUERIES)])
    references = [features_of_all(stage.networks, inputs, space), *(one(inputs)[None] for one in stage.learners)]
    tensors = {
        "models": features_of_all([target, *stage.siblings], inputs, space).astype(np.float64),
        "references": np.concatenate(references).astype(np.float64),
        "least": np.log(np.array([LEAST])),
    }
    usual = ahead_of(_near(tensors, features_of_all(stage.independents, inputs, space)))[:, 0]
    highest_of = highest([(lineage, False) for lineage in stage.lineages], usual)
    raw = np.stack([one.predict(inputs).reshape(len(inputs), -1) for one in stage.innocents])
    theirs = space.canonical(raw.astype(np.float64), space.score_kinds[0])
    for who, given in (("innocents", theirs), ("rivals", features_of_all(rivals, inputs, space))):
        near = _near(tensors, given)
        ranked = (near >= near[:, :1] - form.EQUAL).mean(axis=1) <= PROMISED
        ahead = ahead_of(near)[:, 0]
        rare = (1 + (highest_of >= ahead[:, None]).sum(axis=1)) / (len(highest_of) + 1) <= PROMISED
        yield who, float(ranked.mean()), float((ranked & rare).mean())


def _near(tensors: Mapping[str, NDArray[np.float64]], answers: NDArray[np.floating]) -> NDArray[np.float64]:
    values = answers.astype(np.float64)
    return form.likeness_of(tensors, values, np.ones(values.shape, dtype=np.bool_))


def main() -> None:
    """Print a table a target's task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("owners", nargs="+", help=f"TASK-NUMBER, of the tasks {', '.join([*RECIPES, *DATA_OF])}")
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--only", action="append", default=[], help="a variant; all by default")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="standard")
    told = parser.parse_args()
    torch.set_num_threads(1)
    columns = (
        "refused", "replay refuses", "innocents by rank", "innocents by both", "rivals by rank", "rivals by both",
        "innocents by both, not refused", "rivals by both, not refused",
    )  # fmt: skip
    for name in told.owners:
        task, _, number = name.rpartition("-")
        project = write_task(DATA_OF.get(task, task), int(number), told.root, data=told.data_dir, preset=told.preset)
        print(f"{name}: {', '.join(columns)}")
        for variant, row in measure(set_stage(name, project), told.targets, told.only):
            figures = "".join(f"{row.get(column, float('nan')):>7.3f}" for column in columns)
            print(f"  {variant:<20}{figures}", flush=True)


if __name__ == "__main__":
    main()
