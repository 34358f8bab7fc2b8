"""Training loops: supervised fitting, distillation and pruning; every source of randomness is an argument."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor, nn

from metav_audit.errors import DataError
from metav_audit.zoo.batches import batches
from metav_audit.zoo.device import CPU, moved
from metav_audit.zoo.outputs.base import Loss

Perturb = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a model, inputs and targets to the inputs that it is trained on instead."""

Optimiser = Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
"""From parameters and a rate to what moves them."""


def seeded(seed: int) -> torch.Generator:
    """Return a generator of random numbers on the CPU."""
    return torch.Generator().manual_seed(seed)


def descend(  # noqa: PLR0913 - a training loop is what its makers say
    model: nn.Module,
    parameters: list[nn.Parameter],
    pairs: tuple[Tensor, Tensor],
    loss: Loss,
    *,
    epochs: int,
    rate: float,
    generator: torch.Generator,
    batch: int = 32,
    stop: float = 1.0,
    after_step: Callable[[], None] = lambda: None,
    perturb: Perturb = lambda _, inputs, __: inputs,
    optimiser: Optimiser = lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
    decayed: bool = True,
    device: torch.device = CPU,
) -> None:
    """Minimise ``loss(model(x), y)`` over ``pairs`` (x, y), usually by Adam with a cosine-decayed rate, in place.

    With ``stop`` below 1 it ends after that share of the steps: the checkpoint of a training that went on. Steps are
    made on ``device``; model and pairs are on the processor before and after.

    Raises:
        DataError: the loss became NaN or infinite.
    """
    inputs, targets = (each.to(device) for each in pairs)
    steps = epochs * math.ceil(len(inputs) / batch)
    model.train()
    value = torch.zeros(())
    with moved(device, model):
        optimizer = optimiser(parameters, rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
        for index in islice(batches(len(inputs), batch, epochs, generator), math.ceil(stop * steps)):
            given = perturb(model, inputs[index], targets[index])
            optimizer.zero_grad(set_to_none=True)
            value = loss(model(given), targets[index])
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if decayed:
                schedule.step()
            after_step()
    model.eval()
    if not bool(torch.isfinite(value)):
        raise DataError("training diverged (the loss is not finite): lower the learning rate or check the data")


def adversary(loss: Loss, strength: float, low: float, high: float) -> Perturb:
    """Return the fast gradient sign method: inputs a step towards a higher loss (Goodfellow et al., ICLR 2015).

    Args:
        loss: that the step raises.
        strength: of the step, in widths of the range.
        low: end of the inputs' range.
        high: its other end.
    """

    def perturb(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        moved = inputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(model(moved), targets), moved)
        return (inputs + strength * (high - low) * slope.sign()).clamp(low, high)

    return perturb


def last_layer(model: nn.Module) -> list[nn.Parameter]:
    """Return the last layer's parameters: those named like the last matrix or kernel, but for the last part."""
    named = list(model.named_parameters())
    weights = [name for name, parameter in named if parameter.ndim >= 2]
    if not weights:
        raise DataError("the model has no weight matrix, so no last layer to train")
    prefix = weights[-1].rpartition(".")[0]
    return [parameter for name, parameter in named if name.rpartition(".")[0] == prefix]


@torch.no_grad()
def reinitialise(parameters: list[nn.Parameter], generator: torch.Generator) -> None:
    """Draw weights anew as torch's linear and convolution layers do: uniform within 1 / sqrt(fan-in).

    Vectors that follow a weight are taken for its biases; other vectors (scales of a normalisation) stay.
    """
    bound = 0.0
    for parameter in parameters:
        if parameter.ndim >= 2:
            bound = 1 / math.sqrt(max(parameter[0].numel(), 1))
            parameter.uniform_(-bound, bound, generator=generator)
        elif bound and not torch.all(parameter == 1):
            parameter.uniform_(-bound, bound, generator=generator)


def reset_normalisation(model: nn.Module) -> None:
    """Set scales, shifts and running statistics of normalising layers back to their start, in place.

    The layers of an exported program are not known as such; their statistics stay the target's.
    """
    batch_norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d)
    for module in model.modules():
        if isinstance(module, (*batch_norms, nn.LayerNorm, nn.GroupNorm)):
            module.reset_parameters()
        elif callable(reset := getattr(module, "reset_normalisation", None)):
            reset()


def prune(model: nn.Module, ratio: float) -> Callable[[], None]:
    """Zero the ``ratio`` of each weight tensor that is smallest in magnitude, in place (Han et al. 2015).

    Returns:
        A function that zeroes the same weights again, for use after each step of a later tuning.
    """
    masks = []
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            count = int(parameter.numel() * ratio)
            threshold = parameter.detach().abs().flatten().kthvalue(count).values if count else -1.0
            masks.append((parameter, parameter.detach().abs() > threshold))

    @torch.no_grad()
    def apply() -> None:
        for place, (parameter, mask) in enumerate(masks):
            # The model may have gone elsewhere meanwhile; its mask follows once.
            masks[place] = (parameter, mask.to(parameter.device))
            parameter.mul_(masks[place][1])

    apply()
    return apply


def prune_filters(model: nn.Module, ratio: float) -> Callable[[], None]:
    """Zero the ``ratio`` of each layer's filters or neurons with the smallest L1 norm, but the last layer's, in place.

    After Li et al., ICLR 2017. Returns a function that zeroes the same weights again, as ``prune`` does.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.ndim >= 2]
    rows = {}
    for name, parameter in named[:-1]:
        norms = parameter.detach().abs().flatten(1).sum(1)
        rows[name.rpartition(".")[0]] = norms < norms.sort().values[int(len(norms) * ratio)]
    # A layer's own vectors, its biases above all, go with its filters.
    owned = [(parameter, rows.get(name.rpartition(".")[0])) for name, parameter in model.named_parameters()]

    @torch.no_grad()
    def apply() -> None:
        for parameter, silent in owned:
            # Of a transposed convolution the rows are its inputs, and its biases are of another number.
            if silent is not None and len(silent) == len(parameter):
                parameter[silent] = 0.0

    apply()
    return apply


@torch.no_grad()
def quantise(model: nn.Module, bits: int, generator: torch.Generator) -> None:
    """Round each weight tensor to ``bits`` signed bits at one scale, in place.

    Rounded stochastically (Gupta et al., ICML 2015), so that two quantised copies are two models. Biases stay.
    """
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            step = parameter.abs().max().clamp(min=1e-12) / (2 ** (bits - 1) - 1)
            chance = torch.rand(parameter.shape, generator=generator)
            parameter.copy_(torch.floor(parameter / step + chance) * step)


@torch.no_grad()
def add_noise(model: nn.Module, strength: float, generator: torch.Generator) -> None:
    """Add Gaussian noise to each weight tensor, ``strength`` times its own standard deviation, in place."""
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.add_(strength * parameter.std() * drawn)


@torch.no_grad()
def average(model: nn.Module, other: nn.Module, share: float) -> None:
    """Move each parameter ``share`` of the way to another model's of the same structure, in place."""
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        mine.lerp_(theirs, share)


def clone(model: nn.Module) -> nn.Module:
    """Return a deep copy, all of it trainable."""
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        parameter.requires_grad = True
    return copied
