"""The owner's model: brought as ``module:function``, or as a file of one of the formats of docs/formats.md."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError, MetavAuditError
from metav_audit.task import TaskSpec
from metav_audit.zoo.architectures import call_function, one_line
from metav_audit.zoo.checkpoints import CHECKPOINTS, load_script, load_state
from metav_audit.zoo.exported import check_exported
from metav_audit.zoo.formats.base import Feed, Outputs
from metav_audit.zoo.formats.opaque import Opaque, shown_like
from metav_audit.zoo.formats.reading import are_probabilities, as_opaque, read_opaque
from metav_audit.zoo.formats.registry import format_of_file, known_endings
from metav_audit.zoo.hugging_face import Pictures, load_folder
from metav_audit.zoo.keras_files import ENDING, Keras, is_keras, load_keras
from metav_audit.zoo.mlflow_models import SCHEMES, fetched, load_torch
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.store import weights_hash


class FromProbabilities(nn.Module):
    """A model that gives probabilities, made to give log-probabilities, which serve as logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Return log-probabilities, finite, of shape (n, classes)."""
        probabilities: Tensor = self.model(inputs)
        return probabilities.clamp(min=1e-12).log()


class _Exported(nn.Module):
    """An exported program, whose own train() and eval() are fixed at export."""

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program.module()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Exported:
        """Copy the program, without the warnings that torch raises about its own tree specs."""
        twin = _Exported.__new__(_Exported)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def train(self, mode: bool = True) -> _Exported:
        """Keep the mode in which the program was exported."""
        self.training = mode
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the program."""
        outputs: Tensor = self.program(inputs)
        return outputs


@dataclass(frozen=True, slots=True)
class TargetModel:
    """The owner's protected model, giving logits or values, in evaluation mode; its task; the hash of its weights."""

    network: nn.Module
    task: TaskSpec
    sha256: str


def load_target(
    model: str,
    weights: Path | None,
    outputs: Outputs | None,
    task: TaskSpec,
    feed: Feed = "array",
    *,
    trusted: bool = False,
) -> TargetModel:
    """Load the owner's model and try it on batches of two sizes.

    Args:
        model: ``module:function``, returning a torch.nn.Module or a model of another library; or the path of a file of
            one of the formats of docs/formats.md.
        weights: a file of its state, safetensors or what torch.save wrote, or None where ``model`` brings its own.
        outputs: "logits" or "probabilities" of a classification, "values" otherwise; by default logits or values of a
            network, and what a model of another library is seen to give.
        task: what it must take and give.
        feed: "array", inputs as the task has them, or "frame", tables in their columns' own units.
        trusted: whether its owner lets its file run code.

    Raises:
        ConfigurationError: the model cannot be found.
        DataError: it does not fit the task.
    """
    _check_outputs(outputs, task)
    network = _find(model, outputs, task, feed, trusted=trusted)
    if weights is not None:
        if isinstance(network, Opaque):
            raise ConfigurationError("weights are of a network of torch: a model of another library brings its own")
        network = load_state(network, weights, "the target's weights")
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad = False
    declared = outputs == "probabilities" and not isinstance(network, Opaque)
    wrapped = FromProbabilities(network) if declared else network
    for count in (2, 3):
        _try_out(wrapped, task, model, count)
    if task.output.labelled and not isinstance(network, Opaque):
        _check_declared(network, task, declared=declared)
    return TargetModel(wrapped, task, weights_hash(wrapped))


def framed(network: nn.Module, task: TaskSpec) -> TargetModel:
    """Return a model that can be asked as the target."""
    return TargetModel(network, task, weights_hash(network))


def _find(model: str, outputs: Outputs | None, task: TaskSpec, feed: Feed, *, trusted: bool) -> nn.Module:
    path = Path(model)
    if model.startswith(SCHEMES):
        return _find_kept(model, outputs, task, feed, trusted=trusted)
    if ":" in model and not path.exists():
        found = call_function(model, "target model")
        if isinstance(found, nn.Module):
            return Keras(found, task.domain.shape) if is_keras(found) else found
        _check_opaque(task)
        return as_opaque(found, task, feed, outputs, trusted=trusted, what=f"target model {model!r}")
    form = format_of_file(model)
    if form is not None:
        _check_opaque(task)
        return read_opaque(path, form, task, feed, outputs, trusted=trusted)
    return _find_network(model, task)


def _find_kept(model: str, outputs: Outputs | None, task: TaskSpec, feed: Feed, *, trusted: bool) -> nn.Module:
    with fetched(model) as kept:
        if kept.form is not None:
            _check_opaque(task)
            try:
                return read_opaque(kept.path, kept.form, task, feed, outputs, trusted=trusted)
            except MetavAuditError as error:
                raise type(error)(str(error).replace(str(kept.path), f"{kept.path.name} of {model}")) from error
        if kept.path.suffix == ".pt2":
            return _load_exported(kept.path)
        return load_torch(kept.path, model, trusted=trusted)


def _find_network(model: str, task: TaskSpec) -> nn.Module:
    path = Path(model)
    if path.is_dir():
        return load_folder(path, task)
    if path.suffix == ".pt2":
        return _load_exported(path)
    if path.suffix in CHECKPOINTS:
        return load_script(path)
    if path.suffix == ENDING:
        return load_keras(path, task)
    raise ConfigurationError(_unknown(model, path))


def _check_opaque(task: TaskSpec) -> None:
    if trained(task.output).adversarial:
        raise ConfigurationError("a generator must be a network of torch: no other library's trains one here")


def _unknown(model: str, path: Path) -> str:
    if path.suffix == ".safetensors":
        return (
            f"the target model {path} holds weights alone: name the function that builds the network, "
            f'model = "module:function", and weights = "{path.name}"'
        )
    module, dot, function = path.name.rpartition(".")
    meant = f' (if {path.name} is a function, write "{module}:{function}")' if dot and function.isidentifier() else ""
    return (
        f"the target model {model} is of no format that is known: it is module:function{meant}, or a file ending in "
        f"{', '.join(sorted(known_endings()))} (docs/formats.md)"
    )


@torch.no_grad()
def _check_declared(network: nn.Module, task: TaskSpec, *, declared: bool) -> None:
    """Raise DataError where what a network gives cannot be what it is said to give."""
    outputs = network(torch.from_numpy(task.domain.sample(32, np.random.default_rng(1)))).double().numpy()
    found = are_probabilities(outputs)
    if found and not declared:
        raise DataError(
            "the target gives probabilities where logits are meant: each answer lies in 0 .. 1 and sums to 1. Write "
            'outputs = "probabilities" below [target]'
        )
    if declared and not found:
        raise DataError(
            f"the target gives no probabilities: an answer sums to {outputs[0].sum():.3g}, the least element is "
            f'{outputs.min():.3g}. Write outputs = "logits" below [target]'
        )


def _check_outputs(outputs: str | None, task: TaskSpec) -> None:
    gives = trained(task.output).gives
    if outputs is not None and outputs not in gives:
        wanted = " or ".join(f'"{each}"' for each in gives)
        raise ConfigurationError(f'the target\'s outputs = "{outputs}", but a {task.output.kind} gives {wanted}')


def _load_exported(path: Path) -> nn.Module:
    try:
        check_exported(path)
        return _Exported(torch.export.load(path))
    except FileNotFoundError:
        raise ConfigurationError(f"cannot read the target model {path}: there is no such file") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read the target model {path}: {error.strerror or error}") from None
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path} is no program that torch.export.save wrote: {one_line(error)}") from error


@torch.no_grad()
def _try_out(network: nn.Module, task: TaskSpec, model: str, count: int) -> None:
    inputs = torch.from_numpy(task.domain.sample(count, np.random.default_rng(0)))
    try:
        outputs = network(inputs)
    except FOREIGN as error:
        hint = "; export it with a dynamic batch dimension" if model.endswith(".pt2") and count != 2 else ""
        shape = tuple(inputs.shape)
        raise DataError(f"target model {model} fails on inputs of shape {shape}: {one_line(error)}{hint}") from error
    wanted = (count, *task.output.shape)
    if not isinstance(outputs, Tensor) or outputs.shape != wanted:
        given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise DataError(f"target model {model} gives {given} for {count} inputs, the task wants {wanted}")
    if not bool(torch.isfinite(outputs).all()):
        raise DataError(f"target model {model} gives NaN or infinite values")


def check_weights(target: TargetModel) -> None:
    """Raise DataError where a network has nothing that could be tuned: most likely it wraps another library's model."""
    if not isinstance(target.network, Opaque) and not any(each.numel() for each in target.network.parameters()):
        raise DataError(
            "the target is a torch.nn.Module that has no weights, so that no copy of it could be tuned: if it wraps a "
            "model of another library, return the estimator itself, or name its own file (docs/formats.md)"
        )


def prefix_for(form: Collection[str], own: Iterable[str]) -> str:
    """Return what stands before a state's names in the target's: what wraps it, or has exported it, may put a word.

    >>> prefix_for(["model.0.weight", "model.0.bias"], ["0.weight", "0.bias"])
    'model.'
    >>> prefix_for(["10.weight", "0.weight"], ["0.weight"])
    ''
    """
    first = next(iter(own), "")
    return "" if first in form else next((name.removesuffix(first) for name in form if name.endswith(first)), "")


def in_form_of(target: TargetModel, model: Any, what: str) -> nn.Module:
    """Return a model of the owner's training program in the form of the target: its structure, frozen, giving logits.

    A target of another library has no structure that must be its siblings', too: whatever answers is one.

    Args:
        target: whose form.
        model: built as the owner's own model is.
        what: it is, for messages.

    Raises:
        ConfigurationError: it is no model.
        DataError: it is built otherwise.
    """
    if isinstance(target.network, Opaque):
        told = target.network.told
        sibling = as_opaque(
            model, target.task, told.get("feed", "array"), None, trusted=target.network.trusted, what=what
        )
        _try_out(sibling, target.task, what, 2)
        return shown_like(sibling, target.network)
    if not isinstance(model, nn.Module):
        raise ConfigurationError(f"{what} gives {type(model).__name__}, not a torch.nn.Module as the target is")
    form = copy.deepcopy(target.network)
    try:
        _fill(form, model)
    except (RuntimeError, DataError) as error:
        raise DataError(
            f"{what} gives a model of another structure than the target's: {str(error).splitlines()[0]} "
            "(name the program that the target itself came from)"
        ) from error
    return form.eval()


def _fill(form: nn.Module, model: nn.Module) -> None:
    """Load the weights of a model into a form; what wraps the target in it keeps its own."""
    wrapper = next((each for each in form.modules() if isinstance(each, Keras)), None)
    if wrapper is not None:
        inner = next((each for each in model.modules() if isinstance(each, Keras)), None)
        wrapper.take(model if inner is None else inner.model)
        return
    given, own = form.state_dict(), model.state_dict()
    prefix = prefix_for(given, own)
    kept = {name: tensor for name, tensor in given.items() if isinstance(form, Pictures) and name in _BESIDE}
    form.load_state_dict({**kept, **{prefix + name: tensor for name, tensor in own.items()}})


_BESIDE = ("factor", "summand", "order")
"""What ``Pictures`` holds beside the network."""
