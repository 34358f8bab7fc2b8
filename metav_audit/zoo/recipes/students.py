"""What students share: they learn their teacher's answers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.recipes.base import Bench


def taught(bench: Bench, inputs: Tensor) -> nn.Module:
    """Train a fresh model on its teacher's answers to ``inputs``."""
    student = bench.fresh()
    answers = bench.answers(inputs)
    loss = trained(bench.task.output).distillation_loss(bench.settings.get("temperature", 1.0))
    return bench.learn(student, list(student.parameters()), (inputs, answers), loss)


def blended(bench: Bench, inputs: Tensor, times: float) -> Tensor:
    """Return ``times`` as many valid inputs, each between two of them (mixup: Zhang et al., ICLR 2018)."""
    rng = np.random.default_rng(bench.plan.seed + 3)
    first, second = rng.integers(0, len(inputs), size=(2, round(times * len(inputs))))
    weights = rng.uniform(0.3, 0.7, size=(len(first), *[1] * (inputs.ndim - 1))).astype(np.float32)
    between = weights * inputs.numpy()[first] + (1 - weights) * inputs.numpy()[second]
    return torch.from_numpy(bench.task.domain.project(between))
