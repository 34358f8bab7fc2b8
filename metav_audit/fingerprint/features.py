"""Canonical features in torch: the differentiable twin of ``metav_audit.responses``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.domains import InputDomain
from metav_audit.domains.base import Inputs
from metav_audit.responses import LOG_FLOOR, FloatArray


def features_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return clipped log-probabilities of shape (N, classes) of a model that gives logits."""
    return torch.log_softmax(model(inputs), dim=1).clamp(min=LOG_FLOOR)


@torch.no_grad()
def features_of_all(models: Sequence[nn.Module], inputs: Inputs) -> FloatArray:
    """Return the features of M models on N inputs, float32 of shape (M, N, classes)."""
    batch = torch.from_numpy(inputs)
    return np.stack([features_of(model, batch).numpy() for model in models]).astype(np.float32)


def project_straight_through(inputs: Tensor, domain: InputDomain) -> Tensor:
    """Project onto the domain, as the wire will, while gradients pass unchanged (Bengio et al. 2013)."""
    projected = torch.from_numpy(domain.project(inputs.detach().numpy()))
    return inputs + (projected - inputs.detach())


def clip_in_place(inputs: Tensor, domain: InputDomain) -> None:
    """Bring relaxed inputs back into the domain's range."""
    with torch.no_grad():
        inputs.copy_(torch.from_numpy(domain.clip(inputs.detach().numpy())))
