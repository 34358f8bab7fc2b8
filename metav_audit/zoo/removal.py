"""RemovalNet: an attack that takes a model's fingerprint off a copy, with a few hundred samples and no labels.

A thief who holds the copy moves it away from its victim on both ends: its features towards latent vectors as far from
the victim's as the label bears, and its answers towards mixtures with other inputs' answers. What remains is the label.
After Yao et al. (RemovalNet), whose figures are kept but for the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.errors import DataError
from metav_audit.zoo import training

SAMPLES = 500
BATCH = 64
TEMPERATURE = 20.0
LATENT_STEPS = 25
LATENT_RATE = 0.01
LATENT_NOISE = 0.1
SHUFFLED = 0.1
"""Share of a latent vector's elements that change places."""
WEIGHTS = (0.2, 2.0, 0.7)
"""Of the mixed answers, the latent vectors and the victim's label."""


def remove_fingerprint(
    copy: nn.Module, victim: nn.Module, inputs: Tensor, settings: Mapping[str, float], generator: torch.Generator
) -> nn.Module:
    """Train a copy of ``victim`` away from it, in place; deterministic for one torch thread.

    Args:
        copy: of the victim, trainable.
        victim: gives logits, and ends in a linear layer; its answers alone are learned from.
        inputs: the thief's; the first SAMPLES are used.
        settings: ``steps`` and ``rate`` of the descent.
        generator: of every draw.

    Raises:
        DataError: the victim does not end in a linear layer, or the training diverged.
    """
    sample, steps = inputs[:SAMPLES], int(settings["steps"])
    optimizer = torch.optim.SGD(copy.parameters(), lr=settings["rate"], momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    head, mixed_weight, latent_weight, label_weight = _head(victim), *WEIGHTS
    copy.train()
    loss = torch.zeros(())
    with _latents(victim) as theirs, _latents(copy) as ours:
        for _ in range(steps):
            batch = sample[torch.randint(len(sample), (min(BATCH, len(sample)),), generator=generator)]
            # 1. What the victim says, and in which latent vectors.
            with torch.no_grad():
                logits = victim(batch)
            labels, latents = logits.argmax(dim=1), theirs[0]
            # 2. Both are moved away from it, under the same label.
            away = _moved(latents, head, labels, generator)
            mixed = _mixed(functional.softmax(logits / TEMPERATURE, dim=1), labels)
            # 3. The copy learns both.
            given = copy(batch)
            softened = functional.log_softmax(given / TEMPERATURE, dim=1)
            divergence = functional.kl_div(softened, mixed, reduction="batchmean") * TEMPERATURE**2
            distance = functional.mse_loss(ours[0], away)
            loss = mixed_weight * divergence + latent_weight * distance
            loss = loss + label_weight * functional.cross_entropy(given, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    copy.eval()
    if not bool(torch.isfinite(loss)):
        raise DataError("the removal of the fingerprint diverged (the loss is not finite)")
    return copy


def _head(model: nn.Module) -> nn.Linear:
    """Return the module of the last layer."""
    last = training.last_layer(model)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight is last[0]:
            return module
    raise DataError("the removal of a fingerprint needs a model that ends in a linear layer")


@contextmanager
def _latents(model: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list whose only element is what the last layer was last given."""
    found: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        found[:] = [given[0]]

    hook = _head(model).register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        hook.remove()


def _moved(latents: Tensor, head: nn.Linear, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Push latent vectors away from themselves by signs of gradients, while the head keeps the labels."""
    scale = latents.std() + 1e-6
    moved = latents + LATENT_NOISE * scale * torch.randn(latents.shape, generator=generator)
    width = latents.shape[1]
    places = torch.randperm(width, generator=generator)[: max(2, round(SHUFFLED * width))]
    order = torch.arange(width)
    order[places] = places.roll(1)
    moved = moved[:, order]
    for _ in range(LATENT_STEPS):
        moved = moved.detach().requires_grad_()
        kept = functional.cross_entropy(functional.linear(moved, head.weight.detach(), head.bias), labels)
        loss = kept - functional.mse_loss(moved, latents)
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved - LATENT_RATE * scale * slope.sign()
    return moved.detach()


def _mixed(shares: Tensor, labels: Tensor) -> Tensor:
    """Mix each distribution with the farthest of the batch, as much of it as the label bears."""
    farthest = torch.cdist(shares, shares).argmax(dim=1)
    mixed = shares.clone()
    pending = torch.ones(len(shares), dtype=torch.bool)
    for weight in torch.linspace(0.3, 0.9, 13).tolist():
        candidate = weight * shares + (1 - weight) * shares[farthest]
        fits = pending & (candidate.argmax(dim=1) == labels)
        mixed[fits] = candidate[fits]
        pending &= ~fits
    return mixed
