"""Keras' own files, ``.keras``, run by its torch backend: gradients and all, and no TensorFlow."""

from __future__ import annotations

import copy
import importlib
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError, MetavAuditError
from metav_audit.files import open_regular
from metav_audit.task import TaskSpec

ENDING = ".keras"
MOST_BYTES = 4 << 30
_BACKEND = "KERAS_BACKEND"


class Keras(nn.Module):
    """A model of Keras that takes inputs as the task has them: channels first, or a row.

    Its weights stand here by layer, in the model's order, since Keras' own names count the layers of a process.

    Args:
        model: built; its weights are used, not copied.
        shape: of one input of the task.
    """

    def __init__(self, model: Any, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model: Any
        # No module of this one: torch would name its weights as Keras does.
        object.__setattr__(self, "model", model)
        self.shape, wanted = shape, tuple(model.input_shape[1:])
        self.last = len(shape) == 3 and wanted == (*shape[1:], shape[0]) and wanted != shape
        self.grey = len(shape) == 3 and wanted == shape[1:]
        if not self.last and not self.grey and wanted != shape:
            raise DataError(
                f"the Keras model takes inputs of shape {wanted}, the task has {shape}: mend the task, or the model's "
                "Input"
            )
        self.layers = nn.ModuleList()
        place = None
        for weight in model.weights:
            if (before := weight.path.rpartition("/")[0]) != place:
                place = before
                self.layers.append(nn.Module())
            if weight.trainable:
                self.layers[-1].register_parameter(weight.name, weight.value)
            else:
                self.layers[-1].register_buffer(weight.name, weight.value.data)

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the model, in training mode where this is."""
        given = inputs.permute(0, 2, 3, 1) if self.last else inputs[:, 0] if self.grey else inputs
        with _without_numpys_notice():
            outputs: Tensor = self.model(given, training=self.training)
        return outputs

    def __deepcopy__(self, memo: dict[int, Any]) -> Keras:
        """Copy the model as Keras copies it, and which of its weights have a gradient."""
        with _without_numpys_notice():
            twin = Keras(copy.deepcopy(self.model, memo), self.shape)
        for mine, theirs in zip(twin.parameters(), self.parameters(), strict=True):
            mine.requires_grad = theirs.requires_grad
        twin.train(self.training)
        return twin

    def reset_normalisation(self) -> None:
        """Set running statistics back to their start, in place."""
        for layer in self.layers:
            for name, start in (("moving_mean", 0.0), ("moving_variance", 1.0)):
                if hasattr(layer, name):
                    getattr(layer, name).fill_(start)

    def take(self, model: Any) -> None:
        """Take the weights of a model that was built alike, layer by layer: names count the layers of a process.

        Raises:
            DataError: it was built otherwise.
        """
        mine, theirs = ([tuple(each.shape) for each in one.weights] for one in (self.model, model))
        if mine != theirs:
            raise DataError(f"its weights are of shapes {theirs[:4]} ..., and not {mine[:4]} ...")
        with _without_numpys_notice():
            self.model.set_weights(model.get_weights())


def load_keras(path: Path, task: TaskSpec) -> nn.Module:
    """Load a ``.keras`` file, in safe mode: no Lambda layer, no code of its own.

    Raises:
        ConfigurationError: Keras is not installed, or runs another backend in this process; or there is no such file.
        DataError: the file is damaged, or would run code, or takes other inputs than the task has.
    """
    keras = _keras()
    try:
        with open_regular(path, follow=True) as file, zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise DataError(f"{path} is larger than {MOST_BYTES} bytes when it is unpacked")
        with _without_numpys_notice(), torch.random.fork_rng(devices=[]):
            model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
        return Keras(model, task.domain.shape).eval()
    except OSError as error:
        raise ConfigurationError(f"cannot read the target model {path}: {error.strerror or error}") from None
    except MetavAuditError:
        raise
    except FOREIGN as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise DataError(
            f"{path} is no model that Keras opens in safe mode, or is damaged ({type(error).__name__}: {first[:300]}): "
            "save it again, model.save(...), without Lambda layers and classes of your own"
        ) from error


def is_keras(model: object) -> bool:
    """Say whether a model in memory is one of Keras; imports nothing."""
    return any(each.__module__.partition(".")[0] == "keras" for each in type(model).__mro__)


def _keras() -> Any:
    os.environ.setdefault(_BACKEND, "torch")
    try:
        keras = importlib.import_module("keras")
    except ImportError:
        raise ConfigurationError(
            "a file of Keras needs the package keras: pip install 'metav-audit[keras]' brings it"
        ) from None
    if keras.backend.backend() != "torch":
        raise ConfigurationError(
            f"Keras runs on {keras.backend.backend()} in this process: set {_BACKEND}=torch, and let no TensorFlow be "
            "imported before"
        )
    return keras


@contextmanager
def _without_numpys_notice() -> Iterator[None]:
    """Leave out what numpy 2 says of the way in which Keras' torch backend asks tensors for arrays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"keras\b.*")
        yield
