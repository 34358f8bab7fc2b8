"""Canonical features in torch: the differentiable twin of ``metav_audit.task.outputs``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.task import FloatArray, InputDomain, Inputs, OutputSpace
from metav_audit.zoo.outputs.registry import trained


def features_of(model: nn.Module, inputs: Tensor, space: OutputSpace) -> Tensor:
    """Return the features, of shape (N, D), of a model that gives logits or the values themselves."""
    return trained(space).features(model(inputs))


@torch.no_grad()
def features_of_all(models: Sequence[nn.Module], inputs: Inputs, space: OutputSpace) -> FloatArray:
    """Return the features of M models on N inputs, float32 of shape (M, N, D), as an API that shows all gives them."""
    batch = torch.from_numpy(inputs)
    return trained(space).shown(np.stack([features_of(model, batch, space).numpy() for model in models]))


def project_straight_through(inputs: Tensor, domain: InputDomain) -> Tensor:
    """Project onto the domain, as the wire will, while gradients pass unchanged (Bengio et al. 2013)."""
    projected = torch.from_numpy(domain.project(inputs.detach().numpy()))
    return inputs + (projected - inputs.detach())


def clip_in_place(inputs: Tensor, domain: InputDomain) -> None:
    """Bring relaxed inputs back into the domain's range."""
    with torch.no_grad():
        inputs.copy_(torch.from_numpy(domain.clip(inputs.detach().numpy())))
