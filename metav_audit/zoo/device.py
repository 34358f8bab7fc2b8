"""Where models train: the processor, or an accelerator of this machine.

A model is built, and stored, on the processor; it goes to the accelerator for a training, for its answers and for its
measuring, and comes back. All chance is drawn on the processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from metav_audit.errors import ConfigurationError

CPU = torch.device("cpu")
SHARING = 4
"""Processes that train on one accelerator at once, where nothing else is said."""


def device_of(name: str) -> torch.device:
    """Return a device by its name: "cpu", "cuda", "mps", or "auto", the best that is there.

    On CUDA kernels are asked to be deterministic.

    Raises:
        ConfigurationError: there is none here.
    """
    if name == "cpu":
        return CPU
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(each for each, found in there.items() if found)
    if not there[name]:
        here = ", ".join(each for each, found in there.items() if found)
        raise ConfigurationError(f"torch finds no {name} on this machine: choose auto, or {here}")
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
    return torch.device(name)


def description_of(device: torch.device) -> str | None:
    """Return what stands in the hashes of models that were trained on a device; None for the processor."""
    if device == CPU:
        return None
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def jobs_on(device: torch.device, jobs: int | None) -> int | None:
    """Return how many processes train at once: ``jobs``, or few where they share an accelerator."""
    return jobs if jobs is not None or device == CPU else min(SHARING, os.cpu_count() or 1)


@contextmanager
def moved(device: torch.device, *models: nn.Module) -> Iterator[None]:
    """Move models to a device, in place, and back to the processor at the end."""
    if device == CPU:
        yield
        return
    try:
        for model in models:
            model.to(device)
        yield
    finally:
        for model in models:
            model.to(CPU)


@torch.no_grad()
def answers_on(device: torch.device, model: nn.Module, inputs: Tensor) -> Tensor:
    """Return a model's answers, computed on a device."""
    with moved(device, model):
        answers: Tensor = model(inputs.to(device))
    return answers.to(CPU)
