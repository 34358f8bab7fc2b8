"""The owner's model: brought as ``module:function``, or as a ``.pt2`` file that torch.export wrote."""

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

from metav_audit.errors import FOREIGN, ConfigurationError, DataError
from metav_audit.task import TaskSpec
from metav_audit.zoo.architectures import call_function, one_line
from metav_audit.zoo.exported import check_exported
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.store import load_weights, weights_hash


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


def load_target(model: str, weights: Path | None, outputs: str | None, task: TaskSpec) -> TargetModel:
    """Load the owner's model and try it on batches of two sizes.

    Args:
        model: ``module:function`` returning a torch.nn.Module, or the path of a ``.pt2`` file.
        weights: a safetensors file of its state, or None where ``model`` brings its own.
        outputs: "logits" or "probabilities" of a classification, "values" otherwise; by default logits or values.
        task: what it must take and give.

    Raises:
        ConfigurationError: the model cannot be found.
        DataError: it does not fit the task.
    """
    _check_outputs(outputs, task)
    network = _load_exported(Path(model)) if model.endswith(".pt2") else call_function(model, "target model")
    if not isinstance(network, nn.Module):
        raise ConfigurationError(f"target model {model!r} gives {type(network).__name__}, not a torch.nn.Module")
    if weights is not None:
        network = load_weights(network, weights, "the target's weights")
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad = False
    wrapped = FromProbabilities(network) if outputs == "probabilities" else network
    for count in (2, 3):
        _try_out(wrapped, task, model, count)
    return TargetModel(wrapped, task, weights_hash(wrapped))


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


def prefix_for(form: Collection[str], own: Iterable[str]) -> str:
    """Return what stands before a state's names in the target's: what wraps it, or has exported it, may put a word.

    >>> prefix_for(["model.0.weight", "model.0.bias"], ["0.weight", "0.bias"])
    'model.'
    >>> prefix_for(["10.weight", "0.weight"], ["0.weight"])
    ''
    """
    first = next(iter(own), "")
    return "" if first in form else next((name.removesuffix(first) for name in form if name.endswith(first)), "")


def in_form_of(target: TargetModel, model: nn.Module, what: str) -> nn.Module:
    """Return a model of the owner's training program in the form of the target: its structure, frozen, giving logits.

    Args:
        target: whose form.
        model: built as the owner's own model is.
        what: it is, for messages.

    Raises:
        DataError: it is built otherwise.
    """
    form, own = copy.deepcopy(target.network), model.state_dict()
    prefix = prefix_for(form.state_dict(), own)
    try:
        form.load_state_dict({prefix + name: tensor for name, tensor in own.items()})
    except RuntimeError as error:
        raise DataError(
            f"{what} gives a model of another structure than the target's: {str(error).splitlines()[0]} "
            "(name the program that the target itself came from)"
        ) from error
    return form.eval()
