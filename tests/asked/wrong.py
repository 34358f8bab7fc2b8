"""Ways to be asked wrongly, at the other end of the wire: what a server makes of inputs, or a client of its answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from tests.asked.world import Model

Change = Callable[[np.ndarray], np.ndarray]


def _as_pictures(inputs: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    frames = np.rint(255 * inputs).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.stack([np.asarray(change(Image.fromarray(one)), np.float32) / 255 for one in frames]).transpose(
        0, 3, 1, 2
    )


def _badly(picture: Image.Image) -> Image.Image:
    return picture.resize((4, 4), Image.Resampling.NEAREST).resize((8, 8), Image.Resampling.NEAREST)


def _centre(picture: Image.Image) -> Image.Image:
    return picture.crop((1, 1, 7, 7)).resize((8, 8), Image.Resampling.BILINEAR)


def _grey(inputs: np.ndarray) -> np.ndarray:
    grey = np.tensordot(inputs, [0.299, 0.587, 0.114], axes=([1], [0]))
    return np.repeat(grey[:, None], 3, axis=1)


PICTURES: dict[str, Change] = {
    "0..1 for 0..255": lambda inputs: inputs / 255,
    "BGR": lambda inputs: inputs[:, ::-1],
    "HWC read as CHW": lambda inputs: inputs.transpose(0, 2, 3, 1).reshape(inputs.shape),
    "transposed": lambda inputs: inputs.transpose(0, 1, 3, 2),
    "inverted": lambda inputs: 1 - inputs,
    "normalised twice": lambda inputs: 2 * inputs - 1,
    "grey for colour": _grey,
    "resized badly": lambda inputs: _as_pictures(inputs, _badly),
    "centre crop": lambda inputs: _as_pictures(inputs, _centre),
}
ROWS: dict[str, Change] = {
    "another column order": lambda inputs: inputs[:, np.random.default_rng(3).permutation(inputs.shape[1])],
    "reversed columns": lambda inputs: inputs[:, ::-1],
    "percent for shares": lambda inputs: 100 * inputs,
    "inverted": lambda inputs: 1 - inputs,
    "normalised twice": lambda inputs: (inputs - 0.3) / 0.2,
}


def with_sigmoid(network: torch.nn.Module) -> Model:
    """A model whose scores are a sigmoid a class, brought to add up to 1."""

    def answer(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            scores = torch.sigmoid(network(torch.from_numpy(np.ascontiguousarray(inputs, np.float32)))).double().numpy()
        return scores / scores.sum(axis=1, keepdims=True)

    return answer


def shifted(model: Model) -> Model:
    """A model whose labels are read one too far."""
    return lambda inputs: np.roll(model(inputs), 1, axis=1)
