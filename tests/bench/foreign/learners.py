"""How strangers learn: networks by their own loops, the Adversarial Robustness Toolbox's attacks, scikit-learn's kind.

A learner returns a predictor: from inputs to probabilities of shape (n, classes) or values of shape (n, quantities).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metav_audit.task import Quantities, TaskSpec
from metav_audit.zoo.data import LabelledData
from tests.bench.foreign.programs import Units

Array = NDArray[Any]
Predict = Callable[[NDArray[np.float32]], Array]
Attack = Literal["knockoff-soft", "knockoff-hard", "knockoff-adaptive", "copycat"]

_LEAST_LOG = -7.0
"""Students that learn scores as numbers learn logarithms of probabilities no lower."""


class Habits(NamedTuple):
    """How a stranger trains a network."""

    epochs: int
    rate: float = 1e-3
    batch: int = 32
    momentum: float | None = None


# Predictors, which can be stored.


@dataclass(frozen=True)
class Network:
    """A network that gives logits, or values in their units."""

    model: nn.Module
    classes: bool

    @torch.no_grad()
    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        outputs = self.model.eval()(torch.from_numpy(np.ascontiguousarray(inputs, np.float32))).double()
        answers: Array = (outputs.softmax(dim=1) if self.classes else outputs).numpy()
        return answers


@dataclass(frozen=True)
class Exported:
    """The same as an ONNX file that onnxruntime runs."""

    content: bytes
    classes: bool

    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        (outputs,) = _session(self.content).run(None, {"x": np.ascontiguousarray(inputs, np.float32)})
        return _softmax(outputs.astype(np.float64)) if self.classes else outputs


@dataclass(frozen=True)
class Scorer:
    """A classifier of scikit-learn's kind; classes that it never saw have probability 0."""

    model: Any
    count: int

    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        probabilities = np.zeros((len(inputs), self.count))
        with quietly():
            probabilities[:, self.model.classes_] = self.model.predict_proba(_flat(inputs))
        return _shared(probabilities)


@dataclass(frozen=True)
class Numbers:
    """A regressor a number, of logarithms of probabilities or of values in scales from their center."""

    models: list[Any]
    spec: TaskSpec

    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        with quietly():
            numbers = np.stack([model.predict(_flat(inputs)) for model in self.models], axis=1).astype(np.float64)
        space = self.spec.output
        return space.center + space.scale * numbers if isinstance(space, Quantities) else _softmax(numbers)


@dataclass(frozen=True)
class Joint:
    """One regressor of all probabilities, which are then made to be some."""

    model: Any

    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        probabilities = np.clip(self.model.predict(_flat(inputs)), 1e-4, None)
        return _shared(probabilities)


class Trees(nn.Module):
    """Boosted trees as a module that gives logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Give logarithms of probabilities."""
        with quietly():
            return torch.from_numpy(np.log(np.clip(self.model.predict_proba(inputs.numpy()), 1e-7, None)))


# Networks of strangers.


class _Shortcut(nn.Module):
    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inward),
            nn.ReLU(),
            nn.Conv2d(inward, outward, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(outward, outward, 3, padding=1),
        )
        self.way = nn.Conv2d(inward, outward, 1, stride=2)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.body(inputs) + self.way(inputs)
        return outputs


def residual(spec: TaskSpec) -> nn.Module:
    """Return a small residual network, activations first."""
    depth, height, _ = spec.domain.shape
    stem = nn.Conv2d(depth, 12, 3, stride=2 if height > 16 else 1, padding=1)
    pool = (nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(stem, _Shortcut(12, 24), _Shortcut(24, 32), *pool, nn.Linear(128, spec.output.size))


def convolutions(spec: TaskSpec, *widths: int, hidden: int = 0) -> nn.Module:
    """Return convolutions of 3 x 3, ELU and a maximum over 2 x 2 after each, then a layer or two.

    The first of a large picture has stride 2.
    """
    depth, side, _ = spec.domain.shape
    layers: list[nn.Module] = [nn.BatchNorm2d(depth)]
    for inward, outward in zip((depth, *widths), widths, strict=False):
        stride = 2 if side > 16 else 1
        layers += [nn.Conv2d(inward, outward, 3, stride=stride, padding=1), nn.ELU(), nn.MaxPool2d(2)]
        side //= 2 * stride
    flat = widths[-1] * side * side
    if hidden:
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ELU(), nn.Linear(hidden, _size(spec)))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, _size(spec)))


def perceptron(spec: TaskSpec, *widths: int) -> nn.Module:
    """Return a perceptron with GELU, in a regression's units."""
    sizes = (int(np.prod(spec.domain.shape)), *widths)
    norm = [nn.BatchNorm2d(spec.domain.shape[0])] if len(spec.domain.shape) == 3 else []
    layers: list[nn.Module] = [*norm, nn.Flatten()]
    for inward, outward in zip(sizes, widths, strict=False):
        layers += [nn.Linear(inward, outward), nn.GELU()]
    head = [Units(spec)] if isinstance(spec.output, Quantities) else []
    return nn.Sequential(*layers, nn.Linear(widths[-1], _size(spec)), *head)


def _size(spec: TaskSpec) -> int:
    return spec.output.size


# Training.


def has_classes(spec: TaskSpec) -> bool:
    """Say whether the task is a classification."""
    return not isinstance(spec.output, Quantities)


def fit_network(spec: TaskSpec, model: nn.Module, inputs: Array, wanted: Array, habits: Habits) -> Network:
    """Train a network, in place, on classes, probabilities or values, all randomness from torch's own state."""
    tune(spec, model, list(model.parameters()), LabelledData(inputs, wanted), habits)
    return Network(model, has_classes(spec))


def tune(spec: TaskSpec, model: nn.Module, parameters: list[nn.Parameter], data: LabelledData, habits: Habits) -> None:
    """Train some of a network's parameters in place."""
    loss: Callable[[Tensor, Tensor], Tensor] = nn.CrossEntropyLoss()
    if isinstance(spec.output, Quantities):
        scale = torch.from_numpy(spec.output.scale).float()
        loss = lambda values, wanted: (((values - wanted) / scale) ** 2).mean()  # noqa: E731 - one line says it
    if habits.momentum is None:
        optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=habits.rate)
    else:
        optimizer = torch.optim.SGD(parameters, lr=habits.rate, momentum=habits.momentum, weight_decay=1e-4)
    wanted = data.labels if data.labels.dtype == np.int64 else data.labels.astype(np.float32)
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(data.inputs), torch.from_numpy(wanted))
    model.train()
    for _ in range(habits.epochs):
        for some, told in torch.utils.data.DataLoader(pairs, habits.batch, shuffle=True, drop_last=True):
            optimizer.zero_grad()
            loss(model(some), told).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()


def fit_scorer(model: Any, inputs: Array, labels: Array, count: int) -> Scorer:
    """Fit a classifier of scikit-learn's kind to labels, which are renumbered for those that want all from 0."""
    with quietly():
        seen = np.unique(labels)
        if np.array_equal(seen, np.arange(len(seen))):
            return Scorer(model.fit(_flat(inputs), labels), count)
        return Scorer(_Renumbered(model.fit(_flat(inputs), np.searchsorted(seen, labels)), seen), count)


@dataclass(frozen=True)
class _Renumbered:
    model: Any
    classes_: Array

    def predict_proba(self, inputs: Array) -> Array:
        return np.asarray(self.model.predict_proba(inputs))


def fit_numbers(build: Callable[[int], Any], spec: TaskSpec, inputs: Array, wanted: Array) -> Numbers:
    """Fit a regressor a class to logarithms of probabilities, or a quantity to values; ``build`` takes its place."""
    space = spec.output
    if isinstance(space, Quantities):
        numbers = (wanted - space.center) / space.scale
    else:
        numbers = np.log(np.clip(wanted, np.exp(_LEAST_LOG), None))
    with quietly():
        return Numbers([build(place).fit(_flat(inputs), each) for place, each in enumerate(numbers.T)], spec)


def fit_joint(model: Any, inputs: Array, probabilities: Array) -> Joint:
    """Fit one regressor to all probabilities."""
    with quietly():
        return Joint(model.fit(_flat(inputs), probabilities))


# The Adversarial Robustness Toolbox.


def steal(
    attack: Attack, victim: Predict, spec: TaskSpec, student: nn.Module, data: LabelledData, habits: Habits
) -> Network:
    """Let the toolbox extract a victim that gives probabilities into a student that learns by logits.

    The labels of ``data`` are the true ones, by which the adaptive attack chooses what to ask. That attack of the
    toolbox trains on the victim's labels alone, whatever ``use_probability`` says: it steals labels.
    """
    with quietly():
        from art.attacks.extraction import CopycatCNN, KnockoffNets
        from art.estimators.classification import BlackBoxClassifier, PyTorchClassifier

    shape, classes = spec.domain.shape, spec.output.size
    asked = BlackBoxClassifier(lambda inputs: victim(np.asarray(inputs, np.float32)), shape, classes)
    thief = PyTorchClassifier(
        student,
        nn.CrossEntropyLoss(),
        shape,
        classes,
        torch.optim.Adam(student.parameters(), lr=habits.rate),
        device_type="cpu",
    )
    many = {
        "batch_size_fit": habits.batch,
        "batch_size_query": 512,
        "nb_epochs": habits.epochs,
        "nb_stolen": len(data),
    }
    if attack == "copycat":
        CopycatCNN(asked, **many).extract(data.inputs, thieved_classifier=thief)
    elif attack == "knockoff-adaptive":
        knockoff = KnockoffNets(asked, **many, sampling_strategy="adaptive", reward="all", verbose=False)
        knockoff.extract(data.inputs, y=np.eye(classes)[data.labels], thieved_classifier=thief)
    else:
        soft = attack == "knockoff-soft"
        knockoff = KnockoffNets(asked, **many, sampling_strategy="random", use_probability=soft, verbose=False)
        knockoff.extract(data.inputs, thieved_classifier=thief)
    return Network(student.eval(), classes=True)


# Modified copies.


def tuned(spec: TaskSpec, model: nn.Module, data: LabelledData, habits: Habits, *, last: bool = False) -> Network:
    """Tune a copy, or its last layer alone."""
    copied = _copied(model)
    layers = [layer for layer in copied.modules() if isinstance(layer, nn.Linear)]
    tune(spec, copied, list((layers[-1] if last else copied).parameters()), data, habits)
    return Network(copied, has_classes(spec))


def pruned(spec: TaskSpec, model: nn.Module, share: float, data: LabelledData, habits: Habits) -> Network:
    """Prune the weights of all layers that are smallest in magnitude, then tune the rest."""
    from torch.nn.utils import prune

    copied = _copied(model)
    weights = [(layer, "weight") for layer in copied.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=share)
    tune(spec, copied, list(copied.parameters()), data, habits)
    for layer, name in weights:
        prune.remove(layer, name)  # type: ignore[no-untyped-call]
    return Network(copied, has_classes(spec))


def quantised(spec: TaskSpec, model: nn.Module) -> Network:
    """Let torch bring linear layers to 8 bits."""
    with quietly():
        small = torch.ao.quantization.quantize_dynamic(_copied(model), {nn.Linear})  # type: ignore[no-untyped-call]
        return Network(small, has_classes(spec))


def exported(spec: TaskSpec, model: nn.Module) -> Exported:
    """Let onnxruntime bring all layers to 8 bits."""
    import tempfile
    from pathlib import Path

    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, quietly():
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        torch.onnx.export(
            model.eval(),
            (torch.zeros(2, *spec.domain.shape),),
            str(whole),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )
        quantize_dynamic(whole, small, weight_type=QuantType.QUInt8)
        return Exported(small.read_bytes(), has_classes(spec))


@torch.no_grad()
def rounded(spec: TaskSpec, model: nn.Module, step: float) -> Network:
    """Round the weights of all layers to whole steps."""
    copied = _copied(model)
    for parameter in copied.parameters():
        parameter.copy_((parameter / step).round() * step)
    return Network(copied, has_classes(spec))


def _copied(model: nn.Module) -> nn.Module:
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        parameter.requires_grad = True
    return copied


@lru_cache(maxsize=8)
def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _flat(inputs: Array) -> Array:
    return inputs.reshape(len(inputs), -1)


def _softmax(numbers: Array) -> Array:
    raised = np.exp(numbers - numbers.max(axis=1, keepdims=True))
    return _shared(raised)


def _shared(weights: Array) -> Array:
    shares: Array = weights / weights.sum(axis=1, keepdims=True)
    return shares


@contextmanager
def quietly() -> Iterator[None]:
    """Keep other libraries' warnings and notes away."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)
