"""Generators of garments: copies and thieves of one, and innocents, thieves of its siblings among them.

python -m tests.bench.foreign.garments --queries 8 --queries 16 --queries 64 --data-dir ../shared/data
"""

from __future__ import annotations

import argparse
import copy
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import safetensors.torch
import tomlkit
import torch
from torch import Tensor, nn

from metav_audit.evaluation.conditions import VIEWS, Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.files import write_atomically
from metav_audit.zoo.architectures import dcgan, decoder
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import LabelledData, load_data
from metav_audit.zoo.generative import quality
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from tests.bench.foreign.figures import ROOT, power, validity
from tests.bench.foreign.learners import Array, Predict, quietly
from tests.bench.foreign.measure import measure, pairs
from tests.bench.foreign.suspects import LEAST_SHARE, Suspect
from tests.bench.foreign.tasks import DATA, PARTS
from tests.bench.tasks import GARMENTS

SIZES = (1200, 1200, 600, 2400)
"""Pictures of the owner's train, heldout and validation, and of strangers."""
EPOCHS, RATE, BATCH = 12, 2e-3, 64
"""The owner's habits."""
Build = Callable[[], nn.Module]


# The owner.


def network() -> nn.Module:
    """Build the owner's generator."""
    return dcgan(8)(GARMENTS)


def program(seed: int, data: LabelledData) -> nn.Module:
    """Train a generator as the owner does."""
    return adversarial(network, seed, data)


def _critic(width: int = 8) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(98 * width, 1),
    )


def adversarial(
    build: Build,
    seed: int,
    data: LabelledData,
    *,
    epochs: int = EPOCHS,
    rate: float = RATE,
    trained: Callable[[nn.Module], list[nn.Parameter]] = lambda model: list(model.parameters()),
) -> nn.Module:
    """Train a generator against a critic of its own, by binary cross-entropy on either side."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, critic = build(), _critic()
        makers = torch.optim.Adam(trained(model), rate, betas=(0.5, 0.999))
        critics = torch.optim.Adam(critic.parameters(), rate, betas=(0.5, 0.999))
        loss = nn.BCEWithLogitsLoss()
        examples, latents = torch.from_numpy(data.labels), torch.from_numpy(data.inputs)
        model.train()
        for _ in range(epochs):
            for index in torch.split(torch.randperm(len(examples)), BATCH)[: len(examples) // BATCH]:
                made = model(latents[torch.randint(len(latents), (len(index),))])
                one, none = torch.ones(len(index), 1), torch.zeros(len(index), 1)
                critics.zero_grad()
                (loss(critic(examples[index]), one) + loss(critic(made.detach()), none)).backward()
                critics.step()
                makers.zero_grad()
                loss(critic(made), one).backward()
                makers.step()
    return model.eval()


# Strangers.


@dataclass(frozen=True)
class Generator:
    """A network's pictures, as float64."""

    model: nn.Module

    @torch.no_grad()
    def __call__(self, latents: Array) -> Array:
        return self.model.eval()(torch.from_numpy(np.ascontiguousarray(latents, np.float32))).double().numpy()


@dataclass(frozen=True)
class Regressor:
    """A scikit-learn regressor's pictures, brought into range."""

    model: Any

    def __call__(self, latents: Array) -> Array:
        with quietly():
            return np.clip(self.model.predict(latents), 0, 1).reshape(-1, 1, 28, 28)


@dataclass(frozen=True)
class Components:
    """Pictures from a linear model of scikit-learn's: latents are its components, in standard deviations."""

    model: Any
    scale: Array

    def __call__(self, latents: Array) -> Array:
        return np.clip(self.model.inverse_transform(latents * self.scale), 0, 1).reshape(-1, 1, 28, 28)


STUDENTS: dict[str, Build] = {
    "own": network,
    "dcgan": lambda: dcgan(12)(GARMENTS),
    "decoder": lambda: decoder(128, 256)(GARMENTS),
}


def learned(way: str, seed: int, latents: Array, pictures: Array) -> Predict:
    """Let "torch-STUDENT" or one of scikit-learn's regressors learn pictures by their latents."""
    if way.startswith("torch-"):
        return Generator(_by_pictures(STUDENTS[way.removeprefix("torch-")], seed, latents, pictures))
    from sklearn import ensemble, linear_model, neural_network, pipeline, preprocessing

    models = {
        "sklearn-mlp": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(128,), max_iter=40, random_state=seed),
        "sklearn-forest": lambda: ensemble.ExtraTreesRegressor(40, min_samples_leaf=2, random_state=seed),
        "sklearn-ridge": lambda: pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge(10.0)),
    }
    with quietly():
        return Regressor(models[way]().fit(latents, pictures.reshape(len(pictures), -1)))


def _by_pictures(build: Build, seed: int, latents: Array, pictures: Array) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        given, wanted = torch.from_numpy(latents).float(), torch.from_numpy(pictures).float()
        for _ in range(20):
            for index in torch.split(torch.randperm(len(given)), BATCH):
                optimizer.zero_grad()
                nn.functional.l1_loss(model(given[index]), wanted[index]).backward()
                optimizer.step()
    return model.eval()


def _last(model: nn.Module) -> list[nn.Parameter]:
    return list([layer for layer in model.modules() if isinstance(layer, nn.ConvTranspose2d)][-1].parameters())


def _pruned(target: nn.Module, share: float) -> nn.Module:
    from torch.nn.utils import prune

    model = copy.deepcopy(target)
    weights = [(layer, "weight") for layer in model.modules() if isinstance(layer, nn.Linear | nn.ConvTranspose2d)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=share)
    for layer, name in weights:
        prune.remove(layer, name)  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def _rounded(target: nn.Module, step: float) -> nn.Module:
    model = copy.deepcopy(target)
    for parameter in model.parameters():
        parameter.copy_((parameter / step).round() * step)
    return model


def _components(kind: str, seed: int, data: LabelledData) -> Predict:
    from sklearn import decomposition

    pictures = data.labels.reshape(len(data.labels), -1)
    model = {"pca": decomposition.PCA, "svd": decomposition.TruncatedSVD}[kind](32, random_state=seed).fit(pictures)
    turned = np.random.default_rng(seed).permutation(32)
    return Components(model, model.transform(pictures).std(axis=0)[turned])


THIEVES = ("torch-own", "torch-dcgan", "torch-decoder", "sklearn-mlp", "sklearn-forest", "sklearn-ridge")


Plan = tuple[str, str, Callable[[], Predict]]
"""A suspect's name, its stratum, and its making."""


def again(build: Build, data: LabelledData, seed: int, **habits: Any) -> Predict:
    """Train a generator on pictures."""
    return Generator(adversarial(build, seed, data, **habits))


def steal(way: str, seed: int, victim: Build, latents: Array, levels: int = 256) -> Predict:
    """Learn a generator's pictures of one's own latents, shown in so many levels."""
    answers = np.round(Generator(victim())(latents) * (levels - 1)) / (levels - 1)
    return learned(way, seed, latents, answers.astype(np.float32))


def copies(target: nn.Module, mine: LabelledData) -> Iterator[Plan]:
    """Yield modified copies."""
    copied, pruned = partial(copy.deepcopy, target), partial(_pruned, target, 0.6)
    yield "tuned", "modified", partial(again, copied, mine, 1, epochs=4, rate=5e-4)
    yield "tuned-last", "modified", partial(again, copied, mine, 2, epochs=4, rate=5e-4, trained=_last)
    yield "pruned-30", "modified", lambda: Generator(_pruned(target, 0.3))
    yield "pruned-60-tuned", "modified", partial(again, pruned, mine, 3, epochs=2, rate=5e-4)
    yield "rounded", "modified", lambda: Generator(_rounded(target, 0.02))


def thieves(target: nn.Module, owners: LabelledData, mine: LabelledData) -> Iterator[Plan]:
    """Yield thieves of the target, of siblings and of independents, who ask latents of their own."""
    half = mine.take(np.arange(0, len(mine), 2))
    for place, way in enumerate(THIEVES):
        yield f"{way}-soft", "soft", partial(steal, way, 10 + place, lambda: target, mine.inputs)
    yield "torch-dcgan-eight-levels", "soft", partial(steal, "torch-dcgan", 20, lambda: target, mine.inputs, 8)
    for place, way in enumerate(THIEVES):
        victim = partial(program, 900_000 + place, owners)
        yield f"sibling-{way}", "thief of a sibling", partial(steal, way, 30, victim, mine.inputs)
    for place, way in enumerate(THIEVES[:4]):
        victim = partial(program, 800_000 + place, half)
        yield f"independent-{way}", "thief of an independent", partial(steal, way, 40, victim, mine.inputs)


def rivals(owners: LabelledData, mine: LabelledData) -> Iterator[Plan]:
    """Yield generators that never met the target."""
    for place in range(4):
        yield f"recipe-{place}", "owner's recipe", partial(again, network, mine, 700_000 + place)
    for stratum, data in (("owner's data", owners), ("other data", mine)):
        for name in ("dcgan", "decoder", "own"):
            yield f"{stratum}-{name}", stratum, partial(again, STUDENTS[name], data, 50, rate=1e-3)
    for kind in ("pca", "svd"):
        yield kind, "other architecture", partial(_components, kind, 60, mine)


def make_suspects(folder: Path) -> list[Suspect]:
    """Make the suspects of a folder that ``write_owner`` wrote, or read those that were made from the same target."""
    target = network()
    content = (folder / "target.safetensors").read_bytes()
    target.load_state_dict(safetensors.torch.load(content), strict=False)
    target.eval()
    owners, mine = (load_data(str(folder / f"{part}.npz"), GARMENTS, part) for part in ("train", "strangers"))
    path, made = folder / "suspects.joblib", []
    if path.exists():
        made_from, told = joblib.load(path)
        if made_from == content:
            return _useful(told, target, mine)
    for name, stratum, make in (*copies(target, mine), *thieves(target, owners, mine), *rivals(owners, mine)):
        predict = make()
        reached = quality(_Module(predict), torch.from_numpy(mine.inputs), torch.from_numpy(mine.labels))
        print(f"{name:36} {stratum:24} {reached:6.3f}", flush=True)
        made.append(Suspect(name, stratum, stratum in ("modified", "soft"), reached, predict))
    buffer = io.BytesIO()
    joblib.dump((content, made), buffer)
    write_atomically(path, buffer.getvalue())
    return _useful(made, target, mine)


def _useful(made: Sequence[Suspect], target: nn.Module, mine: LabelledData) -> list[Suspect]:
    """Leave out whose quality is so far below the target's that no one would serve it."""
    goal = quality(target, torch.from_numpy(mine.inputs), torch.from_numpy(mine.labels))
    return [one for one in made if one.performance >= LEAST_SHARE * goal]


class _Module(nn.Module):
    def __init__(self, predict: Predict) -> None:
        super().__init__()
        self.predict = predict

    def forward(self, latents: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(self.predict(latents.numpy()))).float()


def write_owner(number: int, root: Path, data: Path, preset: str) -> Path:
    """Write data, target and project of an owner into ``root``/garments-NUMBER, unless they are there."""
    folder = root / f"garments-{number}"
    project = folder / "project.toml"
    if project.exists():
        return project
    with np.load(data / "fashion_mnist.npz") as arrays:
        pictures = (arrays["x_train"].reshape(-1, 1, 28, 28) / 255).astype(np.float32)
    order = np.random.default_rng(number).permutation(len(pictures))[: sum(SIZES)]
    for part, index in zip((*PARTS[:3], "strangers"), np.split(order, np.cumsum(SIZES)[:-1]), strict=True):
        buffer = io.BytesIO()
        np.savez(buffer, x=pictures[index])
        write_atomically(folder / f"{part}.npz", buffer.getvalue())
    target = program(number, load_data(str(folder / "train.npz"), GARMENTS, "train"))
    write_atomically(folder / "target.safetensors", safetensors.torch.save(state_of(target)))
    spec = GARMENTS.to_json()
    told = {
        "name": f"garments-{number}",
        "seed": number,
        "task": {**spec["output"], "input": spec["input"]},
        "target": {"model": "tests.bench.foreign.garments:network", "weights": "target.safetensors"},
        "data": {part: f"{part}.npz" for part in PARTS[:3]},
        "zoo": {"preset": preset, "architectures": ["dcgan-small", "dcgan-wide", "decoder-deep"]},
        "training": {"program": "tests.bench.foreign.garments:program"},
    }
    write_atomically(project, tomlkit.dumps(told).encode())
    return project


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables of one owner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("--queries", action="append", type=int)
    parser.add_argument("--method", action="append")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--jobs", type=int)
    told = parser.parse_args(words)
    torch.set_num_threads(1)
    path = write_owner(told.number, told.root, told.data_dir, told.preset)
    project, name, budgets = load_project(path), f"garments-{told.number}", told.queries or [16, 64]
    zoo, suspects = build_zoo(project, jobs=told.jobs), make_suspects(path.parent)
    conditions = [Condition("full", count) for count in budgets]
    methods = told.method or ["siblings"]
    found = list(measure(name, open_workshop(project), zoo, suspects, methods, conditions))
    print("\n".join(power(found)))
    if "siblings" in methods:
        bundle = keep_bundle(open_workshop(project), zoo, "siblings", conditions[-1])
        print("\n" + "\n".join(validity(pairs(name, bundle, suspects, VIEWS["full"]))))


if __name__ == "__main__":
    main()
