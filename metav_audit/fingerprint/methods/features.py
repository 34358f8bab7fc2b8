"""Canonical features in torch: the differentiable twin of ``metav_audit.task.outputs``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.task import (
    LOG_FLOOR,
    FloatArray,
    GeneratedTensor,
    InputDomain,
    Inputs,
    OutputSpace,
    Quantities,
    ScoreKind,
)


def features_of(model: nn.Module, inputs: Tensor, space: OutputSpace) -> Tensor:
    """Return the features, of shape (N, D), of a model that gives logits or the values themselves.

    The levels of a generated tensor are not rounded here: that would leave no gradient.
    """
    outputs: Tensor = model(inputs)
    if isinstance(space, Quantities):
        center, scale = (torch.from_numpy(each).to(outputs.dtype) for each in (space.center, space.scale))
        return ((outputs - center) / scale).clamp(-space.CAP, space.CAP)
    if isinstance(space, GeneratedTensor):
        return ((outputs.flatten(1) - space.low) / (space.high - space.low)).clamp(0, 1) - 0.5
    return torch.log_softmax(outputs, dim=1).clamp(min=LOG_FLOOR)


@torch.no_grad()
def features_of_all(models: Sequence[nn.Module], inputs: Inputs, space: OutputSpace) -> FloatArray:
    """Return the features of M models on N inputs, float32 of shape (M, N, D), as an API that shows all gives them."""
    batch = torch.from_numpy(inputs)
    found = np.stack([features_of(model, batch, space).numpy() for model in models])
    if isinstance(space, GeneratedTensor):
        return space.canonical(space.shown(found), ScoreKind.VALUE).astype(np.float32)
    return found.astype(np.float32)


def project_straight_through(inputs: Tensor, domain: InputDomain) -> Tensor:
    """Project onto the domain, as the wire will, while gradients pass unchanged (Bengio et al. 2013)."""
    projected = torch.from_numpy(domain.project(inputs.detach().numpy()))
    return inputs + (projected - inputs.detach())


def clip_in_place(inputs: Tensor, domain: InputDomain) -> None:
    """Bring relaxed inputs back into the domain's range."""
    with torch.no_grad():
        inputs.copy_(torch.from_numpy(domain.clip(inputs.detach().numpy())))
