"""A ready project on scikit-learn's 8 x 8 digits: data, a trained target, and its project.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from sklearn.datasets import load_digits
from torch import nn

from metav_audit.files import write_atomically
from metav_audit.task import ClassScores, ImageDomain, TaskSpec
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import descend, seeded

TASK = TaskSpec(ImageDomain(1, 8, 8), ClassScores(tuple("0123456789")))
ARCHITECTURE = "cnn-medium"
PARTS = {"train": slice(0, 700), "heldout": slice(700, 1400), "validation": slice(1400, None)}

SIBLINGS = {"quick": 19}
"""As many as a promise of 5 % takes at least; 39 with any other preset."""

PROJECT = """\
# Written by metav-audit: scikit-learn's digits, a small convolutional network as the protected model.
name = "digits"
seed = {seed}

[task]
kind = "classification"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
input = {{ kind = "image", channels = 1, height = 8, width = 8, low = 0.0, high = 1.0, levels = 256 }}

[target]
model = "metav_audit.demo.digits:network"
weights = "target.safetensors"

[data]
train = "train.npz"            # what the target was trained on
heldout = "heldout.npz"        # what thieves and rivals have
validation = "validation.npz"

[training]
program = "metav_audit.demo.digits:train"   # run again with other seeds it gives the target's siblings
seed = {seed}
ancestor = "none"
siblings = {siblings}

[zoo]
preset = "{preset}"
architectures = ["cnn-small", "mlp-wide", "cnn-deep", "mlp-deep", "resnet-small"]

[fingerprint]
identity = "metav-audit's digits example"   # what the method fitprint spells
"""


def network() -> nn.Module:
    """Build the target's architecture with random weights."""
    return build_architecture(ARCHITECTURE, TASK)


def write_project(folder: Path, seed: int, preset: str) -> Path:
    """Write data, trained target and project file into ``folder``, unless they are there; return the project file.

    Args:
        folder: made if need be.
        seed: of the division of the data, of the target's weights, and of the zoo.
        preset: of the zoo.
    """
    project = folder / "project.toml"
    if project.exists():
        return project
    parts = _parts(seed)
    for name, part in parts.items():
        _save_npz(folder / f"{name}.npz", part)
    target = train(seed, parts["train"])
    write_atomically(folder / "target.safetensors", safetensors.torch.save(state_of(target)))
    write_atomically(project, PROJECT.format(seed=seed, preset=preset, siblings=SIBLINGS.get(preset, 39)).encode())
    return project


def train(seed: int, data: LabelledData) -> nn.Module:
    """Train the protected model, or with another seed a sibling of it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    pairs = (torch.from_numpy(data.inputs), torch.from_numpy(data.labels))
    loss = nn.functional.cross_entropy
    descend(model, list(model.parameters()), pairs, loss, epochs=40, rate=4e-3, generator=seeded(seed))
    return model


def _parts(seed: int) -> dict[str, LabelledData]:
    digits = load_digits()
    inputs = TASK.domain.project((digits.images / 16).astype(np.float32)[:, None])
    order = np.random.default_rng(seed).permutation(len(inputs))
    everything = LabelledData(inputs, digits.target.astype(np.int64))
    return {name: everything.take(order[part]) for name, part in PARTS.items()}


def _save_npz(path: Path, part: LabelledData) -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, x=part.inputs, y=part.labels)
    write_atomically(path, buffer.getvalue())
