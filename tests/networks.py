"""The toy's task, solved by networks in each of the forms in which an owner may have one; their programs and files."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.formats.exported import pack_network
from metav_audit.zoo.hugging_face import load_folder
from metav_audit.zoo.keras_files import Keras
from metav_audit.zoo.training import descend, seeded
from tests.toy import TASK, pictures, train, trained, write_toy

os.environ.setdefault("KERAS_BACKEND", "torch")

MEAN, DEVIATION = 0.4, 0.3
LABELS = tuple(TASK.output.labels)


def keras_model():
    """A convolution, a normalisation and two layers of Keras, with random weights."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)), layers.Conv2D(6, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
            layers.Flatten(), layers.Dropout(0.1), layers.Dense(16, activation="relu"), layers.Dense(3),
        ]
    )  # fmt: skip


def train_keras(seed: int, data: LabelledData):
    """Keras' program."""
    import keras

    keras.utils.set_random_seed(seed)
    wrapped = Keras(keras_model(), (1, 4, 4))
    _fit(wrapped, seed, data)
    return wrapped.model


def vision():
    """A small vision transformer of Hugging Face's, with random weights; its classes stand in another order."""
    from transformers import ViTConfig, ViTForImageClassification

    order = dict(enumerate(LABELS[::-1]))
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=4,
            patch_size=2, num_channels=1, id2label=order, label2id={name: at for at, name in order.items()},
        )
    )  # fmt: skip


class _Trained(nn.Module):
    """What a program of Hugging Face's trains: normalised pictures in, its own order of classes out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return self.model(pixel_values=(inputs - MEAN) / DEVIATION).logits.flip(1)


def train_vision(seed: int, data: LabelledData):
    """Hugging Face's program."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = _Trained(vision())
    _fit(wrapped, seed, data)
    return wrapped.model


def _fit(model: nn.Module, seed: int, data: LabelledData) -> None:
    pairs = (torch.from_numpy(data.inputs), torch.from_numpy(data.labels))
    parameters = [each for each in model.parameters() if each.dtype is torch.float32 and each.requires_grad]
    descend(model, parameters, pairs, nn.functional.cross_entropy, epochs=20, rate=5e-3, generator=seeded(seed))


def owner_data() -> LabelledData:
    """What the target was trained on."""
    inputs, labels = pictures(1, 120)
    return LabelledData(inputs.astype(np.float32), labels)


def _as_state(folder: Path) -> dict[str, str]:
    wrapped = {f"module.{name}": tensor for name, tensor in trained().state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 20}, folder / "target.pth")
    return {"model": "tests.toy:network", "weights": "target.pth"}


def _as_script(folder: Path) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(trained().eval()).save(str(folder / "target.pt"))
    return {"model": "target.pt"}


def _as_program(folder: Path) -> dict[str, str]:
    (folder / "target.pt2").write_bytes(pack_network(trained(), TASK.domain.shape))
    return {"model": "target.pt2"}


def _as_keras(folder: Path) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of numpy 2, about Keras' torch backend.
        train_keras(1, owner_data()).save(folder / "target.keras")
    return {"model": "target.keras"}


def _as_folder(folder: Path) -> dict[str, str]:
    train_vision(1, owner_data()).save_pretrained(folder / "target")
    told: dict[str, Any] = {"image_mean": [MEAN], "image_std": [DEVIATION], "size": {"height": 4, "width": 4}}
    (folder / "target" / "preprocessor_config.json").write_text(json.dumps(told))
    return {"model": "target"}


FORMS: MappingProxyType[str, tuple[Callable[[Path], dict[str, str]], Callable[..., Any]]] = MappingProxyType(
    {
        "pth": (_as_state, train),
        "script": (_as_script, train),
        "pt2": (_as_program, train),
        "keras": (_as_keras, train_keras),
        "hugging-face": (_as_folder, train_vision),
    }
)
"""By name: writes a target's file into a folder and returns its fields, and the program that made it."""

TRAINING = """
[training]
program = "{program}"
siblings = 19
"""


_USUAL = {"model": '"MODEL"', "weights": "", "false_match": "0.1", "queries": "24"}


def write_form(folder: Path, form: str, **changes: str) -> Path:
    """Write a project whose target comes in a form; return project.toml."""
    write, program = FORMS[form]
    training = TRAINING.format(program=f"{program.__module__}:{program.__name__}")
    more = {"queries": "64"} if form == "hugging-face" else {}  # Its small transformer says less by each.
    file = write_toy(folder, training, **{**_USUAL, **more, **changes})
    fields = "\n".join(f'{name} = "{value}"' for name, value in write(folder).items())
    file.write_text(file.read_text().replace('model = "MODEL"', fields))
    return file


def load_vision(folder: Path) -> nn.Module:
    """A folder of Hugging Face's as the toy's network."""
    return load_folder(folder, TASK)
