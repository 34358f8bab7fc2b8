"""Owners' project folders.

Beside what ``metav-audit`` reads, each folder holds strangers.npz: data that suspects alone are made from, disjoint
from all the owner's. The number seeds the division of the data and the target's training.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import tomlkit
import torch
from numpy.typing import NDArray

from metav_audit.files import write_atomically
from metav_audit.task import TabularDomain, TaskSpec
from metav_audit.zoo.data import LabelledData, load_data
from metav_audit.zoo.plan import USUAL_RATES
from metav_audit.zoo.store import state_of
from tests.bench import tasks as real
from tests.bench.foreign import programs

DATA = Path("../shared/data")
PARTS = ("train", "heldout", "validation", "strangers")
_MOST_OF_A_KIND = 300
_WHAT = ("images", "labels")

Arrays = tuple[NDArray[Any], NDArray[Any]]


class Task(NamedTuple):
    """Where a task's data come from.

    Attributes:
        files: below the folder of the data.
        divide: from that folder and a number to the parts' arrays.
        architectures: of the owner's zoo.
    """

    files: tuple[str, ...]
    divide: Callable[[Path, int], Mapping[str, Arrays]]
    architectures: tuple[str, ...]


def _cut(inputs: NDArray[Any], labels: NDArray[Any], sizes: tuple[int, ...], number: int) -> Mapping[str, Arrays]:
    """Divide at random into parts of these sizes."""
    order = np.random.default_rng(number).permutation(len(inputs))
    if sum(sizes) > len(order):
        raise ValueError(f"there are {len(order)} examples, fewer than the {sum(sizes)} wanted")
    chosen = np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
    return {part: (inputs[index], labels[index]) for part, index in zip(PARTS, chosen, strict=True)}


def _table(inputs: NDArray[Any], labels: NDArray[Any], sizes: tuple[int, ...], number: int) -> Mapping[str, Arrays]:
    """Divide rows, of which none may stand in two parts: of those alike the first is kept."""
    _, first = np.unique(inputs, axis=0, return_index=True)
    kept = np.sort(first)
    return _cut(inputs[kept], labels[kept], sizes, number)


def _digits(_: Path, number: int) -> Mapping[str, Arrays]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = programs.DIGITS.domain.project((digits.images / 16).astype(np.float32)[:, None])
    return _cut(inputs, digits.target.astype(np.int64), (600, 397, 200, 600), number)


def _fashion(data: Path, number: int) -> Mapping[str, Arrays]:
    with np.load(data / "fashion_mnist.npz") as arrays:
        pictures, labels = arrays["x_train"][:, None], arrays["y_train"].astype(np.int64)
    parts = _cut(pictures, labels, (2000, 2000, 1000, 3000), number)
    return {part: ((few / 255).astype(np.float32), told) for part, (few, told) in parts.items()}


def _lesions(data: Path, number: int) -> Mapping[str, Arrays]:
    """Give the owner the training images, strangers the others: the file's parts have no lesion in common.

    The owner's own parts may show a lesion twice. None has more than 300 of a kind.
    """
    with np.load(data / "ham10000_28.npz") as arrays:
        mine = arrays["train_images"], arrays["train_labels"].ravel().astype(np.int64)
        others = [np.concatenate([arrays[f"{part}_{what}"] for part in ("val", "test")]) for what in _WHAT]
    chance = np.random.default_rng(number)
    order = chance.permutation(len(mine[1]))
    at = dict(zip(PARTS, np.split(order, [3000, 6000]), strict=False))
    parts = {part: (mine[0][index], mine[1][index]) for part, index in at.items()}
    order = chance.permutation(len(others[1]))
    parts["strangers"] = others[0][order], others[1].ravel().astype(np.int64)[order]
    return {part: _thinned(*arrays, chance) for part, arrays in parts.items()}


def _thinned(pictures: NDArray[Any], labels: NDArray[Any], chance: np.random.Generator) -> Arrays:
    """Keep the first 300 of a kind at most, shuffled: the frequent kinds would all stand in front."""
    kinds = range(real.LESIONS.output.size)
    kept = chance.permutation(np.concatenate([np.flatnonzero(labels == kind)[:_MOST_OF_A_KIND] for kind in kinds]))
    return (pictures[kept].transpose(0, 3, 1, 2) / 255).astype(np.float32), labels[kept]


def adult(data: Path, number: int, sizes: tuple[int, ...] = (4000, 4000, 2000, 4800)) -> Mapping[str, Arrays]:
    """Divide incomes into parts of these sizes."""
    import pandas as pd

    table = pd.read_csv(data / "adult.csv", skipinitialspace=True)
    cells: dict[str, list[Any]] = {}
    for name, (low, high) in programs.ADULT_NUMBERS.items():
        cells[name] = table[name].clip(low, high).tolist()
    for name, known in programs.ADULT_CATEGORIES.items():
        cells[name] = table[name].where(table[name].isin(known), programs.OTHER).tolist()
    labels = (table["income-per-year"] == ">50K").to_numpy(np.int64)
    return _table(_encoded(programs.ADULT, cells), labels, sizes, number)


def _warfarin(data: Path, number: int) -> Mapping[str, Arrays]:
    parts = real.warfarin(data)
    return _table(parts.inputs, parts.labels, (1700, 1000, 500, 1900), number)


def _california(data: Path, number: int) -> Mapping[str, Arrays]:
    import pandas as pd

    table = pd.read_csv(data / "california_housing.csv")
    cells: dict[str, list[Any]] = {}
    for name, (low, high, _) in programs.CALIFORNIA_NUMBERS.items():
        cells[name] = table[name].fillna(table[name].median()).clip(low, high).tolist()
    cells["ocean_proximity"] = table["ocean_proximity"].tolist()
    labels = (table["median_house_value"] / 1000).to_numpy(np.float32)
    inputs = programs.CALIFORNIA.domain.project(_encoded(programs.CALIFORNIA, cells))
    return _table(inputs, labels, (3000, 2000, 1000, 3600), number)


def _encoded(spec: TaskSpec, cells: Mapping[str, list[Any]]) -> NDArray[np.float32]:
    domain = spec.domain
    assert isinstance(domain, TabularDomain)
    return domain.encode([dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)])


_PICTURES = ("cnn-small", "mlp-wide", "cnn-deep", "mlp-deep", "resnet-small")
_ROWS = ("mlp-small", "mlp-wide", "mlp-deep")
TASKS = {
    "digits": Task((), _digits, _PICTURES),
    "fashion": Task(("fashion_mnist.npz",), _fashion, _PICTURES),
    "adult": Task(("adult.csv",), adult, _ROWS),
    "lesions": Task(("ham10000_28.npz",), _lesions, _PICTURES),
    "warfarin": Task(("warfarin.csv",), _warfarin, _ROWS),
    "california": Task(("california_housing.csv",), _california, _ROWS),
}


def write_task(
    name: str,
    number: int,
    root: Path,
    *,
    data: Path = DATA,
    preset: str = "standard",
    training: bool = True,
    promised: float = USUAL_RATES.false_match,
) -> Path:
    """Write an owner's project folder ``root``/NAME-NUMBER, unless it is there; return its project.toml.

    Args:
        name: one of ``TASKS``.
        number: of the owner: seeds the division of the data and the target's training.
        root: made if need be.
        data: the benchmark data's folder.
        preset: of the zoo.
        training: whether the project says by which program its target was trained.
        promised: share of false matches; less than usual takes more siblings, and has a folder of its own.

    Raises:
        FileNotFoundError: a file of the benchmark's data is missing.
    """
    usual = promised == USUAL_RATES.false_match
    project = root / (f"{name}-{number}" if usual else f"{name}-{number}-at-{promised:g}") / "project.toml"
    if project.exists():
        return project
    for file in TASKS[name].files:
        if not (data / file).is_file():
            raise FileNotFoundError(f"the task {name} needs {data / file}: name the data's folder with --data-dir")
    for part, (inputs, labels) in TASKS[name].divide(data, number).items():
        buffer = io.BytesIO()
        np.savez(buffer, x=inputs, y=labels)
        write_atomically(project.parent / f"{part}.npz", buffer.getvalue())
    torch.set_num_threads(1)
    target = getattr(programs, name)(number, read_part(project, name, "train"))
    write_atomically(project.parent / "target.safetensors", safetensors.torch.save(state_of(target)))
    told = _project(name, number, preset, training=training)
    if not usual:
        told["rates"] = {"false_match": promised}
        told["training"]["siblings"] = round(1 / promised) - 1
    text = tomlkit.dumps(told)
    write_atomically(project, text.encode())
    return project


def read_part(project: Path, name: str, part: str) -> LabelledData:
    """Return one of the folder's ``PARTS``, as the product reads it."""
    return load_data(str(project.parent / f"{part}.npz"), programs.SPECS[name], part)


def _project(name: str, number: int, preset: str, *, training: bool) -> dict[str, Any]:
    spec = programs.SPECS[name].to_json()
    told = {
        "name": f"{name}-{number}",
        "seed": number,
        "task": {**spec["output"], "input": spec["input"]},
        "target": {"model": f"{programs.__name__}:{name}_network", "weights": "target.safetensors"},
        "data": {part: f"{part}.npz" for part in PARTS[:3]},
        "zoo": {"preset": preset, "architectures": list(TASKS[name].architectures)},
        "fingerprint": {"identity": f"owner {number} of {name}"},
    }
    return told | ({"training": {"program": f"{programs.__name__}:{name}"}} if training else {})
