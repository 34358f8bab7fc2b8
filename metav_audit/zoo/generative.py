"""Generators: how a surrogate that turns latent vectors into tensors is trained, and how good it is.

Adversarial training as in DCGAN (Radford, Metz, Chintala, ICLR 2016), with the non-saturating loss (Goodfellow et al.,
NeurIPS 2014). Quality is the energy distance to real examples (Szekely and Rizzo 2013): no network's opinion is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.errors import DataError
from metav_audit.zoo.batches import batches
from metav_audit.zoo.device import CPU, moved

_BETAS = (0.5, 0.999)
_BATCHES = 16
_MOST = 64
"""An epoch has at least so many steps, of at most so many examples."""
_COMPARED = 500
"""Examples of either side that a quality is measured on."""


class Discriminator(nn.Module):
    """Tells real examples from generated ones: convolutions for images, a perceptron for anything else."""

    def __init__(self, shape: tuple[int, ...], width: int = 8) -> None:
        super().__init__()
        image = len(shape) == 3 and min(shape[1:]) >= 4
        first = nn.Conv2d(shape[0], width, 4, stride=2, padding=1) if image else nn.Linear(math.prod(shape), 8 * width)
        layers: list[nn.Module] = [] if image else [nn.Flatten()]
        layers += [first, nn.LeakyReLU(0.2)]
        if image:
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Flatten()]
        flat = 2 * width * (shape[1] // 2 // 2) * (shape[2] // 2 // 2) if image else 8 * width
        self.layers = nn.Sequential(*layers, nn.Linear(flat, 1))

    def forward(self, examples: Tensor) -> Tensor:
        """Return logits of shape (n,) from examples of shape (n, *shape)."""
        logits: Tensor = self.layers(examples)
        return logits[:, 0]


def descend_against(  # noqa: PLR0913 - a training loop is what its makers say
    model: nn.Module,
    parameters: list[nn.Parameter],
    examples: Tensor,
    latents: Tensor,
    *,
    epochs: int,
    rate: float,
    generator: torch.Generator,
    stop: float = 1.0,
    after_step: Callable[[], None] = lambda: None,
    device: torch.device = CPU,
) -> None:
    """Train a generator against a fresh discriminator, in place.

    Args:
        model: from latent vectors to examples.
        parameters: of the model, those to be trained.
        examples: real ones, of shape (n, *shape).
        latents: vectors to draw from, of shape (m, size).
        epochs: passes over the examples.
        rate: Adam's rate for both.
        generator: of every draw.
        stop: the share of the steps after which it ends; see ``training.descend``.
        after_step: called after each.
        device: that the steps are made on; the model comes back to the processor.

    Raises:
        DataError: the loss became NaN or infinite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        critic = Discriminator(tuple(examples.shape[1:]))
    latents, examples = latents.to(device), examples.to(device)
    with moved(device, model, critic):
        makers = torch.optim.Adam(parameters, lr=rate, betas=_BETAS)
        critics = torch.optim.Adam(critic.parameters(), lr=rate, betas=_BETAS)
        model.train()
        value = torch.zeros(())
        batch = min(_MOST, max(2, len(examples) // _BATCHES))
        steps = math.ceil(stop * epochs * math.ceil(len(examples) / batch))
        for index in islice(batches(len(examples), batch, epochs, generator), steps):
            drawn = latents[torch.randint(len(latents), (len(index),), generator=generator)]
            made = model(drawn)
            # 1. The discriminator learns to tell them apart.
            doubt = (
                functional.softplus(-critic(examples[index])).mean() + functional.softplus(critic(made.detach())).mean()
            )
            critics.zero_grad(set_to_none=True)
            doubt.backward()  # type: ignore[no-untyped-call]
            critics.step()
            # 2. The generator learns to pass for real.
            value = functional.softplus(-critic(made)).mean()
            makers.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            makers.step()
            after_step()
    model.eval()
    if not bool(torch.isfinite(value)):
        raise DataError("training diverged (the loss is not finite): lower the learning rate or check the data")


@torch.no_grad()
def quality(model: nn.Module, latents: Tensor, examples: Tensor) -> float:
    """Return 1 - E(made, real) / E(mean, real), E the energy distance: 1 at best, 0 for one that makes the mean."""
    real = examples[:_COMPARED].flatten(1)
    made = model(latents[:_COMPARED]).flatten(1)
    mean = real.mean(dim=0, keepdim=True)
    return float(1 - _energy(made, real) / _energy(mean, real))


def _energy(one: Tensor, other: Tensor) -> Tensor:
    within = torch.cdist(one, one).mean() + torch.cdist(other, other).mean()
    return 2 * torch.cdist(one, other).mean() - within
