"""Two small tasks with a whole zoo each, coloured digits and rows of a table; copies and independent models of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

from metav_audit.bundle import FingerprintBundle
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.zoo.build import build_zoo, load_model
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import descend, seeded

Model = Callable[[np.ndarray], np.ndarray]

PRESETS["asked"] = Preset(
    derived={Split.FIT: 6, Split.CALIBRATION: 8, Split.TEST: 6},
    independent={Split.FIT: 4, Split.CALIBRATION: 8, Split.TEST: 4},
    twins={Split.FIT: 1.0, Split.CALIBRATION: 0.25, Split.TEST: 0.0},
)
SEEDS = {"pictures": 67280421310721, "table": 1}
"""Of the targets' weights; the first is what torch starts from where nobody gives a seed."""
COLOURS = np.array([[1.0, 0.35, 0.1], [0.1, 0.35, 1.0]])
PROJECT = """\
name = "{name}"
seed = 7
[task]
labels = {labels}
input = {domain}
[target]
model = "tests.asked.world:{name}_network"
weights = "target.safetensors"
[data]
train = "train.npz"
heldout = "heldout.npz"
validation = "validation.npz"
[zoo]
preset = "asked"
architectures = ["mlp-small"]
[fingerprint]
queries = 32
steps = 60
[rates]
false_match = 0.2
false_no_match = 0.2
"""


def pictures_network() -> nn.Module:
    """A convolution and two layers for pictures of 3 x 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 24), nn.ReLU(),
        nn.Linear(24, 6),
    )  # fmt: skip


def table_network() -> nn.Module:
    """Three layers for rows of thirty numbers."""
    return nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 2))


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Red and blue zeros, ones and twos on a dark ground."""
    drawn = load_digits(n_class=3)
    rng = np.random.default_rng(0)
    shapes = np.repeat(drawn.images / 16.0, 2, axis=0)
    colour = np.tile([0, 1], len(drawn.images))
    tinted = shapes[:, None] * COLOURS[colour][:, :, None, None] * rng.uniform(0.6, 1.0, (len(shapes), 1, 1, 1))
    noisy = np.clip(tinted + rng.normal(0, 0.06, tinted.shape), 0, 1)
    order = rng.permutation(len(noisy))
    labels = np.repeat(drawn.target, 2) + 3 * colour
    return (np.rint(noisy * 255) / 255).astype(np.float32)[order], labels[order]


def table() -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Measured tumours, as a table's rows, and the table's columns."""
    data = load_breast_cancer()
    low, high = data.data.min(axis=0), data.data.max(axis=0)
    steps = (high - low) / 500
    columns = [
        {"name": str(name), "low": float(one), "high": float(two), "step": float(step)}
        for name, one, two, step in zip(data.feature_names, low, high, steps, strict=True)
    ]
    order = np.random.default_rng(0).permutation(len(data.data))
    unit = ((data.data - low) / (high - low)).astype(np.float32)
    return unit[order], data.target[order], {"kind": "tabular", "columns": columns}


@dataclass(frozen=True)
class World:
    """A bundle, and models of the test split that it does not know."""

    bundle: FingerprintBundle
    copies: tuple[nn.Module, ...]
    independents: tuple[nn.Module, ...]

    def typical(self, *, derived: bool) -> nn.Module:
        """The model whose score lies in its side's middle."""
        models = self.copies if derived else self.independents
        scores = [
            self.bundle.verifier.scores(
                np.log(np.maximum(probabilities(one)(self.bundle.inputs), 1e-6))[None].astype(np.float32),
                np.ones((1, *self.bundle.reference.shape), bool),
            )[0]
            for one in models
        ]
        return models[int(np.argsort(scores)[len(scores) // 2])]


def probabilities(network: nn.Module) -> Model:
    """A model as a function from inputs to probabilities."""

    def answer(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return (
                torch.softmax(network(torch.from_numpy(np.ascontiguousarray(inputs, np.float32))), 1).double().numpy()
            )

    return answer


def build_world(name: str, folder: Path) -> World:
    """Train target and zoo, and fit the bundle."""
    torch.manual_seed(SEEDS[name])
    if name == "pictures":
        inputs, labels = pictures()
        domain = '{ kind = "image", channels = 3, height = 8, width = 8 }'
        names, network = [f"class {at}" for at in range(6)], pictures_network()
    else:
        inputs, labels, described = table()
        columns = ", ".join(
            f'{{ name = "{one["name"]}", low = {one["low"]!r}, high = {one["high"]!r}, step = {one["step"]!r} }}'
            for one in described["columns"]
        )
        domain, names = f'{{ kind = "tabular", columns = [{columns}] }}', ["malignant", "benign"]
        network = table_network()
    task_project = PROJECT.format(name=name, labels=names, domain=domain).replace("'", '"')
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.toml").write_text(task_project)
    third = len(inputs) // 5
    cuts = {"train": slice(0, 2 * third), "heldout": slice(2 * third, 4 * third), "validation": slice(4 * third, None)}
    project = load_project(folder)
    for part, rows in cuts.items():
        np.savez(folder / f"{part}.npz", x=project.task.domain.project(inputs[rows]), y=labels[rows])
    pairs = torch.from_numpy(inputs[cuts["train"]]), torch.from_numpy(labels[cuts["train"]])
    descend(network, list(network.parameters()), pairs, nn.functional.cross_entropy, epochs=30, rate=5e-3,
            generator=seeded(1))  # fmt: skip
    safetensors.torch.save_file(state_of(network), folder / "target.safetensors")
    zoo = build_zoo(project, jobs=1)
    workshop = open_workshop(project)
    bundle = make_bundle(Making.of(workshop, zoo, "metav"))
    sides = (
        tuple(load_model(workshop, one.plan) for one in zoo.select(Split.TEST, derived=derived))
        for derived in (True, False)
    )
    return World(bundle, *sides)
