"""Batches of indices, in an order that a generator of random numbers decides."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def batches(count: int, size: int, epochs: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield index batches, reshuffled each epoch; a last batch of one is left out."""
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(count, generator=generator), size):
            if len(batch) > 1 or count == 1:
                yield batch
