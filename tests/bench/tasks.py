"""Projects on real data, one a task and seed: python -m tests.bench.tasks TASK FOLDER [--seed N] [--data-dir DIR].

Each writes data, a trained target and project.toml into FOLDER, for ``metav-audit evaluate FOLDER``. The seed is that
of the target's training and of all that follows; the data's parts are the same for each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import tomlkit
import torch
from torch import nn

from metav_audit.task import ClassScores, GeneratedTensor, ImageDomain, OutputKind, Quantities, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, LatentDomain, NumberColumn
from metav_audit.task.outputs import Quantity
from metav_audit.zoo.architectures import dcgan, mlp
from metav_audit.zoo.data import load_data
from metav_audit.zoo.generative import descend_against
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.presets import PRESETS
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import descend, seeded

DATA = Path("../shared/data")
UNKNOWN = "unknown"
_YES_NO = {"0": "no", "1": "yes"}


class Parts(NamedTuple):
    """All inputs and labels, and where train, heldout and validation end."""

    inputs: np.ndarray
    labels: np.ndarray
    ends: tuple[int, int, int]


# Warfarin dosing: a regression on mixed columns.

_CATEGORIES = {
    "age": ("Age", ("20 - 29", "30 - 39", "40 - 49", "50 - 59", "60 - 69", "70 - 79", "80 - 89", "90+")),
    "gender": ("Gender", ("male", "female")),
    "race": ("Race", ("White", "Asian", "Black or African American")),
    "cyp2c9": ("CYP2C9 consensus", ("*1/*1", "*1/*2", "*1/*3", "*2/*2", "*2/*3", "*3/*3")),
    "vkorc1": ("VKORC1 -1639 consensus", ("A/A", "A/G", "G/G")),
    "amiodarone": ("Amiodarone (Cordarone)", ("no", "yes")),
    "simvastatin": ("Simvastatin (Zocor)", ("no", "yes")),
    "aspirin": ("Aspirin", ("no", "yes")),
    "valve": ("Valve Replacement", ("no", "yes")),
    "smoker": ("Current Smoker", ("no", "yes")),
}
"""The column on the wire: the column in the file, and its categories; whatever else it holds is unknown."""
_NUMBERS = {"height_cm": ("Height (cm)", 125.0, 202.0, 1.0), "weight_kg": ("Weight (kg)", 30.0, 180.0, 0.5)}

WARFARIN = TaskSpec(
    TabularDomain(
        (
            *(NumberColumn(name, low, high, step) for name, (_, low, high, step) in _NUMBERS.items()),
            *(CategoryColumn(name, (*known, UNKNOWN)) for name, (_, known) in _CATEGORIES.items()),
        )
    ),
    Quantities((Quantity("dose_mg_week", 31.0, 17.0),)),
)


def warfarin(data: Path) -> Parts:
    """Patients with a known dose up to 150 mg a week, in an order of their own."""
    import pandas as pd

    table = pd.read_csv(data / "warfarin.csv", dtype=str, encoding="utf-8-sig").dropna(how="all", axis=1)
    dose = pd.to_numeric(table["Therapeutic Dose of Warfarin"], errors="coerce")
    kept = dose.between(1, 150)
    table, dose = table[kept], dose[kept]
    cells: dict[str, list[Any]] = {}
    for name, (column, low, high, _) in _NUMBERS.items():
        numbers = pd.to_numeric(table[column], errors="coerce")
        cells[name] = numbers.fillna(numbers.median()).clip(low, high).tolist()
    for name, (column, known) in _CATEGORIES.items():
        texts = table[column].str.strip().replace(_YES_NO if known == ("no", "yes") else {})
        cells[name] = texts.where(texts.isin(known), UNKNOWN).tolist()
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    domain = WARFARIN.domain
    assert isinstance(domain, TabularDomain)
    order = np.random.default_rng(0).permutation(len(rows))
    inputs = domain.encode([rows[index] for index in order])
    return Parts(inputs, dose.to_numpy(np.float32)[order], (1900, 4300, len(rows)))


def warfarin_network() -> nn.Module:
    """A perceptron of two hidden layers."""
    return mlp(64, 32)(WARFARIN)


# HAM10000: a classification of skin lesions, in which one kind is two thirds of the data.

_LESIONS = ("actinic keratosis", "basal cell carcinoma", "keratosis", "dermatofibroma", "melanoma", "nevus", "vascular")
_MOST_OF_A_KIND = 300
"""As many of one kind a part holds at most, so that a network learns the rarer ones, too."""
LESIONS = TaskSpec(ImageDomain(3, 28, 28), ClassScores(_LESIONS))


def lesions(data: Path) -> Parts:
    """Half of the training images each for train and heldout, no kind above 300; the validation images as they are."""
    with np.load(data / "ham10000_28.npz") as arrays:
        pictures, labels = arrays["train_images"], arrays["train_labels"].ravel()
        checked = arrays["val_images"], arrays["val_labels"].ravel()
    order = np.random.default_rng(0).permutation(len(labels))
    halves = [_thinned(half, labels) for half in np.array_split(order, 2)]
    chosen = np.concatenate(halves)
    inputs = np.concatenate([pictures[chosen], checked[0]]).transpose(0, 3, 1, 2)
    told = np.concatenate([labels[chosen], checked[1]])
    ends = (len(halves[0]), len(chosen), len(told))
    return Parts((inputs / 255).astype(np.float32), told.astype(np.int64), ends)


def _thinned(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    kept = [index[:_MOST_OF_A_KIND] for kind in range(len(_LESIONS)) if (index := order[labels[order] == kind]).size]
    return np.sort(np.concatenate(kept))


class _Block(nn.Module):
    """The basic block of a residual network (He et al., CVPR 2016)."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inward, outward, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outward),
            nn.ReLU(),
            nn.Conv2d(outward, outward, 3, padding=1, bias=False),
            nn.BatchNorm2d(outward),
        )
        through = nn.Sequential(nn.Conv2d(inward, outward, 1, stride=stride, bias=False), nn.BatchNorm2d(outward))
        self.way = nn.Identity() if inward == outward else through

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(inputs) + self.way(inputs))


def _residual(width: int, blocks: int) -> nn.Module:
    """Return a residual network of three stages, a stem of stride 2 before, so that two cores can train hundreds."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    for stage in range(3):
        outward = width << stage
        layers += [_Block(width << max(stage - 1, 0), outward, 1 if stage == 0 else 2)]
        layers += [_Block(outward, outward, 1) for _ in range(blocks - 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, len(_LESIONS)))


def lesions_network() -> nn.Module:
    """A residual network of eight layers."""
    return _residual(16, 1)


def lesions_narrow(_: TaskSpec) -> nn.Module:
    """Another one, half as wide."""
    return _residual(8, 1)


def lesions_deep(_: TaskSpec) -> nn.Module:
    """Another one, of fourteen layers."""
    return _residual(8, 2)


# Fashion-MNIST as a generation: from a latent vector to a garment.

GARMENTS = TaskSpec(LatentDomain(32), GeneratedTensor((1, 28, 28), 0.0, 1.0, 256))


def garments(data: Path) -> Parts:
    """The first of the training images, without labels."""
    with np.load(data / "fashion_mnist.npz") as arrays:
        pictures = arrays["x_train"][:3000].reshape(-1, 1, 28, 28)
    return Parts((pictures / 255).astype(np.float32), np.zeros(len(pictures)), (1200, 2400, 3000))


def garments_network() -> nn.Module:
    """A small DCGAN's generator."""
    return dcgan(16)(GARMENTS)


class Task(NamedTuple):
    """What a project of one task is made of."""

    spec: TaskSpec
    load: Callable[[Path], Parts]
    network: Callable[[], nn.Module]
    epochs: int
    architectures: tuple[str, ...]


TASKS = {
    "warfarin": Task(WARFARIN, warfarin, warfarin_network, 15, ("mlp-small", "mlp-wide", "mlp-deep")),
    "garments": Task(GARMENTS, garments, garments_network, 30, ("dcgan-small", "dcgan-wide", "decoder-deep")),
    "lesions": Task(
        LESIONS,
        lesions,
        lesions_network,
        30,
        ("tests.bench.tasks:lesions_narrow", "cnn-medium", "tests.bench.tasks:lesions_deep"),
    ),
}


def write_project(name: str, folder: Path, seed: int, data: Path, preset: str = "full") -> float:
    """Write data, target and project file; return the target's performance."""
    task = TASKS[name]
    parts = task.load(data)
    folder.mkdir(parents=True, exist_ok=True)
    start, pairs = 0, {}
    for part, end in zip(("train", "heldout", "validation"), parts.ends, strict=True):
        inputs, labels = parts.inputs[start:end], parts.labels[start:end]
        np.savez(folder / f"{part}.npz", x=inputs, y=labels)
        held = load_data(str(folder / f"{part}.npz"), task.spec, part)
        pairs[part] = torch.from_numpy(held.inputs), torch.from_numpy(held.labels)
        start = end
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = task.network()
    _train(network, task, pairs["train"], seed)
    safetensors.torch.save_file(state_of(network), folder / "target.safetensors")
    (folder / "project.toml").write_text(tomlkit.dumps(_project(name, task, seed, preset)))
    return trained(task.spec.output).performance(network, *pairs["validation"])


def _train(network: nn.Module, task: Task, pairs: tuple[torch.Tensor, torch.Tensor], seed: int) -> None:
    parameters, chance = list(network.parameters()), seeded(seed)
    if task.spec.output.kind is OutputKind.GENERATION:
        latents, examples = pairs
        descend_against(network, parameters, examples, latents, epochs=task.epochs, rate=4e-3, generator=chance)
    else:
        loss = trained(task.spec.output).loss()
        descend(network, parameters, pairs, loss, epochs=task.epochs, rate=2e-3, generator=chance)


def _project(name: str, task: Task, seed: int, preset: str) -> dict[str, Any]:
    spec = task.spec.to_json()
    return {
        "name": name,
        "seed": seed,
        "task": {**spec["output"], "input": spec["input"]},
        "target": {"model": f"tests.bench.tasks:{name}_network", "weights": "target.safetensors"},
        "data": {part: f"{part}.npz" for part in ("train", "heldout", "validation")},
        "zoo": {"preset": preset, "architectures": list(task.architectures)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--data-dir", type=Path, default=DATA)
    told = parser.parse_args()
    if not told.data_dir.is_dir():
        parser.error(f"there is no folder {told.data_dir}: name the benchmark data's with --data-dir")
    reached = write_project(told.task, told.folder, told.seed, told.data_dir, told.preset)
    print(f"{told.folder}: performance {reached:.3f}")
