"""A whole project in miniature: three kinds of 4 x 4 pictures, a small target, a zoo of a few dozen models."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.zoo.build import load_model
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import descend, seeded
from tests.builders import make_task

TASK = make_task(classes=3, side=4)
TINY = Preset(
    derived={Split.FIT: 6, Split.CALIBRATION: 4, Split.TEST: 8},
    independent={Split.FIT: 4, Split.CALIBRATION: 4, Split.TEST: 5},
    twins={Split.FIT: 1.0, Split.CALIBRATION: 0.25, Split.TEST: 0.4},
)
MINI = Preset(
    derived={Split.FIT: 3, Split.CALIBRATION: 1, Split.TEST: 0},
    independent={Split.FIT: 2, Split.CALIBRATION: 1, Split.TEST: 0},
    twins={Split.FIT: 1.0, Split.CALIBRATION: 0.0, Split.TEST: 0.0},
)

PROJECT = """\
name = "toy"
seed = 7
[task]
labels = ["class 0", "class 1", "class 2"]
input = { kind = "image", channels = 1, height = 4, width = 4 }
[target]
model = "tests.toy:network"
weights = "target.safetensors"
[data]
train = "train.npz"
heldout = "heldout.npz"
validation = "validation.npz"
[zoo]
preset = "tiny"
architectures = ["mlp-small", "cnn-small"]
store = "zoo"
[fingerprint]
queries = 6
steps = 40
identity = "Toy & Sons Ltd"
bits = 2
[rates]
false_match = 0.2
false_no_match = 0.2
"""
TRAINING = """
[training]
program = "tests.toy:train"
siblings = 9
seed = 1
"""


def install_presets() -> None:
    """Put presets of a few models beside the product's own, in this process alone."""
    PRESETS.update(tiny=TINY, mini=MINI)


def network() -> nn.Module:
    """A convolution, a normalisation and two layers, with random weights."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
    )


def pictures(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of three kinds, half pattern and half noise, and their kinds."""
    patterns = np.random.default_rng(0).uniform(size=(3, 1, 4, 4))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 3)
    return TASK.domain.project(0.4 * patterns[labels] + 0.6 * rng.uniform(size=(count, 1, 4, 4))), labels


def train(seed: int, data: LabelledData) -> nn.Module:
    """The owner's training program."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    pairs = (torch.from_numpy(data.inputs), torch.from_numpy(data.labels))
    loss = nn.functional.cross_entropy
    descend(model, list(model.parameters()), pairs, loss, epochs=20, rate=5e-3, generator=seeded(seed))
    return model


@lru_cache
def trained() -> nn.Module:
    """The target."""
    inputs, labels = pictures(1, 120)
    return train(1, LabelledData(inputs.astype(np.float32), labels))


def write_toy(folder: Path, training: str = "", **changes: str) -> Path:
    """Write data, target and project file; ``changes`` replaces the values of lines of the project file.

    ``training`` is the text of the section [training]; without it the target has no siblings. The one calibration
    lineage a side of the preset "mini" bears a promised rate of a half.
    """
    if changes.get("preset") == '"mini"':
        changes = {"false_match": "0.5", "false_no_match": "0.5", **changes}
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed, count in (("train", 1, 120), ("heldout", 2, 120), ("validation", 3, 90)):
        inputs, labels = pictures(seed, count)
        np.savez(folder / f"{name}.npz", x=inputs, y=labels)
    safetensors.torch.save_file(state_of(trained()), folder / "target.safetensors")
    lines = [changed(line, changes) for line in PROJECT.splitlines()]
    (folder / "project.toml").write_text("\n".join(line for line in lines if line) + "\n" + training)
    return folder / "project.toml"


def changed(line: str, changes: dict[str, str]) -> str:
    """One line with its new value; an empty value leaves the line out."""
    name = line.split(" = ", maxsplit=1)[0]
    if name not in changes:
        return line
    return f"{name} = {changes[name]}" if changes[name] else ""


def typical_suspect(workshop, zoo, bundle, *, derived: bool):
    """A test model of one side as a function of inputs: the one whose score lies in the side's middle."""
    models = [load_model(workshop, one.plan) for one in zoo.select(Split.TEST, derived=derived)]
    answers = features_of_all(models, bundle.inputs, bundle.task.output)
    scores = bundle.verifier.scores(answers, np.ones(answers.shape, bool))
    chosen = models[int(np.argsort(scores)[len(scores) // 2])]

    def answer(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return chosen(torch.from_numpy(inputs)).double().numpy()

    return answer
