"""Would models of one architecture train faster side by side in one process? python -m tests.bench.stacked

Eight models of each kind of network train on noise of the digits' size or of 32 x 32 colours, one after another and
then stacked (torch.func: functional_call under vmap, one Adam over stacked parameters), by the processor's time of one
thread. Said are the ratio, and whether a model's weights depend on how many others were trained beside it.
"""

from __future__ import annotations

import argparse
import copy
import time

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.profiler import ProfilerActivity, profile

from metav_audit.task import ClassScores, ImageDomain, TaskSpec
from metav_audit.zoo.architectures import cnn, mlp, resnet

BATCH = 32
DIGITS = TaskSpec(ImageDomain(1, 8, 8), ClassScores(tuple("0123456789")))
COLOURS = TaskSpec(ImageDomain(3, 32, 32), ClassScores(tuple("abcdefg")))
NETWORKS = {
    "perceptron, digits": (mlp(64), DIGITS),
    "wide perceptron, digits": (mlp(256), DIGITS),
    "convolutions, digits": (cnn(8, 16, hidden=32), DIGITS),
    "residual, digits": (resnet(12, 2), DIGITS),
    "perceptron, colours": (mlp(64), COLOURS),
    "convolutions, colours": (cnn(8, 16, hidden=32), COLOURS),
    "residual, colours": (resnet(12, 2), COLOURS),
}


def models_of(builder, task: TaskSpec, count: int) -> list[nn.Module]:
    """Build models with weights of their own."""
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(builder(task).train())
    return made


def data_of(task: TaskSpec, models: int, steps: int) -> tuple[Tensor, Tensor]:
    """Draw a batch a model and step: inputs (models, steps, batch, ...) and labels."""
    chance = torch.Generator().manual_seed(1)
    inputs = torch.rand(models, steps, BATCH, *task.domain.shape, generator=chance)
    return inputs, torch.randint(0, task.output.size, (models, steps, BATCH), generator=chance)


def apart(models: list[nn.Module], inputs: Tensor, labels: Tensor) -> None:
    """Train one after another, in place."""
    for model, xs, ys in zip(models, inputs, labels, strict=True):
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for x, y in zip(xs, ys, strict=True):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def stacked(models: list[nn.Module], inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Train side by side; return the stacked parameters."""
    parameters, buffers = stack_module_state(models)
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    shape = copy.deepcopy(models[0])

    def loss(own: dict[str, Tensor], kept: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(shape, (own, kept), (x,)), y)

    slopes = vmap(grad(loss))
    optimizer = torch.optim.Adam(parameters.values(), lr=3e-3)
    for step in range(inputs.shape[1]):
        for name, slope in slopes(parameters, buffers, inputs[:, step], labels[:, step]).items():
            parameters[name].grad = slope
        optimizer.step()
    return parameters


def timed(function, *arguments) -> float:
    """Return the processor seconds of a call."""
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def profile_residual(steps: int) -> None:
    """Print the kernels that take most of the training of a residual network for colours, and their shares."""
    inputs, labels = data_of(COLOURS, 1, steps)
    apart(models_of(resnet(12, 2), COLOURS, 1), inputs[:, :2], labels[:, :2])
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        apart(models_of(resnet(12, 2), COLOURS, 1), inputs, labels)
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)
    whole = sum(row.self_cpu_time_total for row in rows)
    for row in rows[:10]:
        print(f"{row.self_cpu_time_total / whole:6.1%}  {row.key}")


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="say instead what a residual network's training does")
    told = parser.parse_args()
    torch.set_num_threads(1)
    if told.profile:
        profile_residual(told.steps)
        return
    for name, (builder, task) in NETWORKS.items():
        inputs, labels = data_of(task, told.models, told.steps)
        for work in (apart, stacked):
            work(models_of(builder, task, 2), inputs[:2, :2], labels[:2, :2])
        alone = timed(apart, models_of(builder, task, told.models), inputs, labels)
        together = timed(stacked, models_of(builder, task, told.models), inputs, labels)
        many = stacked(models_of(builder, task, told.models), inputs, labels)
        few = stacked(models_of(builder, task, 3), inputs[:3], labels[:3])
        one = models_of(builder, task, 1)
        apart(one, inputs[:1], labels[:1])
        same = all(torch.equal(many[each][:3], few[each]) for each in many)
        usual = all(torch.equal(many[each][0], tensor) for each, tensor in one[0].named_parameters())
        print(
            f"{name:<24} apart {alone:6.2f} s  side by side {together:6.2f} s  {alone / together:5.2f} times as fast  "
            f"weights of 3 among {told.models} {'the same' if same else 'others'} as of 3 alone, "
            f"{'the same' if usual else 'others'} as one by one",
            flush=True,
        )


if __name__ == "__main__":
    main()
