"""How wrong may the named training program be? Targets trained otherwise than their siblings, and what becomes of them.

    python -m tests.bench.foreign.wrong_programs digits-1 adult-3 --targets 10

For each variant of the owner's program: how many targets are refused as strangers, how many the replay refuses, and
how often innocents, and rivals who train as the *target* was trained, are accused where a target is not refused.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.replay import ReplayStatus, compare_answers
from metav_audit.zoo.siblings import load_siblings
from metav_audit.zoo.strangers import behaviour_of, strangeness_of
from tests.bench.foreign import programs
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.measure import ahead_of, highest
from tests.bench.foreign.suspects import make_suspects
from tests.bench.foreign.tasks import DATA, read_part, write_task

PROMISED = 0.05
QUERIES = 64
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
REPLAYED = ("nothing", "20 % fewer data", "20 % more data", "best of five", "worst of five", "averaged weights")
"""What natural behaviour hardly shows, and a replay has to."""
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
    runs = [_run(task, variant, seed + 1000 * run, share) for run in range(abs(variant.best_of))]
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


def _shifted(inputs: Tensor, chance: torch.Generator) -> Tensor:
    if inputs.ndim != 4:
        return inputs + 0.01 * torch.randn(inputs.shape, generator=chance)
    down, right = torch.randint(-1, 2, (2,), generator=chance).tolist()
    return torch.roll(inputs, (down, right), dims=(2, 3))


def measure(name: str, project: Path, targets: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield a row of shares for each variant."""
    task = name.rpartition("-")[0]
    loaded = load_project(project)
    workshop, zoo = open_workshop(loaded), build_zoo(loaded)
    siblings, more = load_siblings(workshop), read_part(project, task, "strangers")
    space, domain, pool = workshop.target.task.output, workshop.target.task.domain, workshop.data.validation.inputs
    natural = len(pool)
    if isinstance(domain, ImageDomain):
        pool = np.concatenate([pool, blend(domain, pool, 3000, np.random.default_rng(0))])
    known = features_of_all(siblings, pool, space)
    held_out = zoo.select(Split.CALIBRATION, derived=False)
    networks = [load_model(workshop, one.plan) for one in zoo.select(Split.FIT, derived=False)]
    independents = [load_model(workshop, one.plan) for one in held_out]
    learners = fit_learners(workshop.data, space, 0)
    innocents = [one for one in make_suspects(project) if not one.derived]

    def judge(model: nn.Module) -> float:
        with torch.no_grad():
            labels = model(torch.from_numpy(workshop.data.validation.inputs)).argmax(1).numpy()
        return float((labels == workshop.data.validation.labels).mean())

    for variant_name, variant in VARIANTS.items():
        rivals = [
            train(task, replace(variant, data=min(variant.data, 1)), 500 + at, more, more, judge)
            for at in range(RIVALS)
        ]
        row: dict[str, list[float]] = {}
        for seed in range(targets):
            target = train(task, variant, 7000 + seed, workshop.data.train, more, judge)
            found = strangeness_of(behaviour_of([target, *siblings], workshop))
            row.setdefault("refused", []).append(found.is_stranger)
            if variant_name in REPLAYED:
                again = train(task, Variant(), 7000 + seed, workshop.data.train, more, judge)
                told = features_of_all([target, *siblings, again], workshop.data.validation.inputs, space)
                replayed = compare_answers(told[:-1], told[-1], 7000 + seed, space)
                row.setdefault("replay refuses", []).append(replayed.status is ReplayStatus.NOT_REPRODUCED)
            answers = np.concatenate([features_of_all([target], pool, space), known])
            rows = choose_shared(information(np.exp(answers.astype(np.float64))), natural, QUERIES)
            inputs = domain.project(pool[rows])
            tensors = {
                "models": features_of_all([target, *siblings], inputs, space).astype(np.float64),
                "references": np.concatenate(
                    [features_of_all(networks, inputs, space), *(one(inputs)[None] for one in learners)]
                ).astype(np.float64),
                "least": np.log(np.array([LEAST])),
            }
            raw = np.stack([one.predict(inputs).reshape(len(inputs), -1) for one in innocents])
            theirs = space.canonical(raw.astype(np.float64), space.score_kinds[0])
            usual = _near(tensors, features_of_all(independents, inputs, space))
            scores = ahead_of(usual)[:, 0]
            lineages = highest([(one.card.lineage, False) for one in held_out], scores)
            for who, given in (("innocents", theirs), ("rivals", features_of_all(rivals, inputs, space))):
                near = _near(tensors, given)
                ranked = (near >= near[:, :1] - form.EQUAL).mean(axis=1) <= PROMISED
                rare = np.array(
                    [(1 + (lineages >= z).sum()) / (len(lineages) + 1) <= PROMISED for z in ahead_of(near)[:, 0]]
                )
                row.setdefault(f"{who} by rank", []).append(float(ranked.mean()))
                row.setdefault(f"{who} by both", []).append(float((ranked & rare).mean()))
                if not found.is_stranger:
                    row.setdefault(f"{who} by both, not refused", []).append(float((ranked & rare).mean()))
        yield variant_name, {what: float(np.mean(values)) for what, values in row.items()}


def _near(tensors: Mapping[str, NDArray[np.float64]], answers: NDArray[np.floating]) -> NDArray[np.float64]:
    values = answers.astype(np.float64)
    return form.likeness_of(tensors, values, np.ones(values.shape, dtype=np.bool_))


def main() -> None:
    """Print a table a target's task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("owners", nargs="+", help=f"TASK-NUMBER, of the tasks {', '.join(RECIPES)}")
    parser.add_argument("--targets", type=int, default=10)
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
        project = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        print(f"{name}: {', '.join(columns)}")
        for variant, row in measure(name, project, told.targets):
            figures = "".join(f"{row.get(column, float('nan')):>7.3f}" for column in columns)
            print(f"  {variant:<20}{figures}", flush=True)


if __name__ == "__main__":
    main()
