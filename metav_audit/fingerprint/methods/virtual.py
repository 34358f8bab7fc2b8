"""Virtual models: answers of copies and strangers that nobody trained, made from those of the zoo while it is queried.

A zoo holds few families of copies, and a verifier learns them by heart. Each virtual copy stands for a family that the
zoo may lack, and each has a twin made the same way from independent models, so that only lineage tells them apart:

- *mixed*: between the target's answers and an independent model's. An extracted copy answers so: like its teacher, and
  where it failed to learn that, like any model of the task. Its twin lies between two independent models.
- *bent*: a random linear map of the classes' log-probabilities, near to the identity. A copy with a last layer trained
  anew answers so. Its twin is an independent model's answers, bent. Classifications alone are bent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metav_audit.task import LOG_FLOOR


def mix(target: Tensor, independent: Tensor, count: int, share: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return answers of ``count`` mixed copies and of as many twins, drawn by torch's own generator.

    Args:
        target: the target's answers, of shape (N, D).
        independent: of M independent models, of shape (M, N, D).
        count: copies wanted.
        share: smallest and largest share of the target, or of the first independent model, in a mixture.
    """
    low, high = share
    weight = low + (high - low) * torch.rand(count, 1, 1)
    first = torch.randint(len(independent), (count,))
    # Another one, wherever there is another.
    other = (first + 1 + torch.randint(max(len(independent) - 1, 1), (count,))) % len(independent)
    rest = (1 - weight) * independent[first]
    return weight * target + rest, weight * independent[other] + rest


def bend(answers: Tensor, count: int, noise: float) -> Tensor:
    """Return ``count`` bent versions of log-probabilities of shape (M, N, D), each of one of the M models."""
    width = answers.shape[2]
    chosen = answers[torch.randint(len(answers), (count,))]
    scale = torch.exp(torch.rand(count, 1, 1) - 0.5)
    maps = scale * torch.eye(width) + noise * torch.rand(count, 1, 1) * torch.randn(count, width, width)
    return torch.einsum("cnd,cde->cne", chosen - chosen.mean(dim=2, keepdim=True), maps)


def as_log_probabilities(answers: Tensor) -> Tensor:
    """Return answers whose probabilities add up to 1 again, clipped as canonical features are."""
    return torch.log_softmax(answers, dim=2).clamp(min=LOG_FLOOR)
