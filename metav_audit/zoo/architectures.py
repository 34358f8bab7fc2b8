"""Built-in architectures for surrogates, functions of the task; an owner may add others as ``module:function``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError
from metav_audit.task import GeneratedTensor, OutputSpace, TaskSpec
from metav_audit.zoo.outputs.registry import trained

Builder = Callable[[TaskSpec], nn.Module]


def mlp(*widths: int) -> Builder:
    """Return a builder of perceptrons with ReLU and these hidden widths."""

    def build(task: TaskSpec) -> nn.Module:
        size = torch.Size(task.domain.shape).numel()
        layers: list[nn.Module] = [nn.Flatten()]
        for inward, outward in zip((size, *widths), widths, strict=False):
            layers += [nn.Linear(inward, outward), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], task.output.size), *trained(task.output).head())

    return build


def cnn(*channels: int, hidden: int) -> Builder:
    """Return a builder of convolutional networks: 3 x 3 convolutions, the image halved after each down to 2 x 2."""

    def build(task: TaskSpec) -> nn.Module:
        depth, height, width = task.domain.shape
        layers: list[nn.Module] = []
        for inward, outward in zip((depth, *channels), channels, strict=False):
            layers += [nn.Conv2d(inward, outward, 3, padding=1), nn.ReLU()]
            if min(height, width) >= 4:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        flat = channels[-1] * height * width
        layers += [nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, task.output.size)]
        return nn.Sequential(*layers, *trained(task.output).head())

    return build


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Add two convolutions to the identity."""
        return torch.relu(inputs + self.second(torch.relu(self.first(inputs))))


def resnet(channels: int, blocks: int) -> Builder:
    """Return a builder of residual networks without normalisation: a halving stem, blocks, mean over 2 x 2 cells."""

    def build(task: TaskSpec) -> nn.Module:
        stem = [nn.Conv2d(task.domain.shape[0], channels, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True)]
        body = [_Residual(channels) for _ in range(blocks)]
        pool = nn.AdaptiveAvgPool2d(2)
        return nn.Sequential(
            *stem, *body, pool, nn.Flatten(), nn.Linear(4 * channels, task.output.size), *trained(task.output).head()
        )

    return build


def dcgan(width: int) -> Builder:
    """Return a builder of image generators: a projection, then transposed convolutions (Radford et al., ICLR 2016)."""

    def build(task: TaskSpec) -> nn.Module:
        depth, height, width_out = task.output.shape
        rows, columns = -(-height // 4), -(-width_out // 4)
        flat = 2 * width * rows * columns
        return nn.Sequential(
            nn.Linear(task.domain.shape[0], flat),
            nn.BatchNorm1d(flat),
            nn.ReLU(),
            nn.Unflatten(1, (2 * width, rows, columns)),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, depth, 4, stride=2, padding=1),
            InRange(task.output, (height, width_out)),
        )

    return build


def decoder(*widths: int) -> Builder:
    """Return a builder of generators that are perceptrons with these hidden widths."""

    def build(task: TaskSpec) -> nn.Module:
        layers: list[nn.Module] = []
        for inward, outward in zip((task.domain.shape[0], *widths), widths, strict=False):
            layers += [nn.Linear(inward, outward), nn.BatchNorm1d(outward), nn.ReLU()]
        shape = task.output.shape
        return nn.Sequential(
            *layers, nn.Linear(widths[-1], task.output.size), nn.Unflatten(1, shape), InRange(task.output)
        )

    return build


class InRange(nn.Module):
    """Brings any numbers into a generated tensor's range, and cuts an image to its size."""

    def __init__(self, space: OutputSpace, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        assert isinstance(space, GeneratedTensor)
        self.low, self.width, self.size = space.low, space.high - space.low, size

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Squash, scale and cut."""
        cut = numbers if self.size is None else numbers[..., : self.size[0], : self.size[1]]
        return self.low + self.width * torch.sigmoid(cut)


GENERATORS: dict[str, Builder] = {
    "dcgan-small": dcgan(8),
    "dcgan-wide": dcgan(24),
    "decoder-small": decoder(64),
    "decoder-deep": decoder(128, 256),
}
BUILT_IN: dict[str, Builder] = {
    "cnn-small": cnn(8, 16, hidden=32),
    "cnn-medium": cnn(16, 32, hidden=64),
    "cnn-deep": cnn(16, 24, 32, hidden=64),
    "resnet-small": resnet(12, 2),
    "mlp-small": mlp(64),
    "mlp-wide": mlp(256),
    "mlp-deep": mlp(96, 64),
}


def built_in_for(task: TaskSpec) -> tuple[str, ...]:
    """Return the names of the built-in architectures that suit such inputs and outputs."""
    output = trained(task.output)
    return tuple(name for name in (*BUILT_IN, *GENERATORS) if output.suits(name, task))


def import_function(reference: str, what: str) -> Callable[..., Any]:
    """Import ``module:function``, looking in the working directory too.

    Raises:
        ConfigurationError: there is no such module or function.
    """
    module_name, _, function_name = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except FOREIGN as error:
        reason = one_line(error)
        raise ConfigurationError(
            f"cannot import {what} {reference!r} ({reason}): write it as module:function, and put the module beside "
            "project.toml or install it"
        ) from error
    if not callable(function):
        raise ConfigurationError(f"{what} {reference!r} is not a function: write it as module:function")
    return function  # type: ignore[no-any-return]


def call_function(reference: str, what: str, *arguments: object) -> Any:
    """Import ``module:function`` and call it.

    Raises:
        ConfigurationError: there is no such module or function.
        DataError: the function fails.
    """
    function = import_function(reference, what)
    try:
        return function(*arguments)
    except FOREIGN as error:
        raise DataError(f"{what} {reference!r} fails: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return an error's kind and the first line of its message."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def build_architecture(name: str, task: TaskSpec) -> nn.Module:
    """Build a network with fresh random weights, by a built-in name or as ``module:function`` taking the task.

    Raises:
        ConfigurationError: the name is unknown, or the function does not give a torch module.
        DataError: the function fails.
    """
    fitting = built_in_for(task)
    if ":" not in name and name not in fitting:
        what = "does not suit the task" if name in BUILT_IN | GENERATORS else "is unknown"
        raise ConfigurationError(f"architecture {name!r} {what}: use one of {', '.join(fitting)}, or module:function")
    model = call_function(name, "architecture", task) if ":" in name else (BUILT_IN | GENERATORS)[name](task)
    if not isinstance(model, nn.Module):
        raise ConfigurationError(f"architecture {name!r} gives {type(model).__name__}, not a torch.nn.Module")
    return model
