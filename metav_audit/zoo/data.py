"""The owner's data: what the target was trained on, and what a thief could have instead."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import GeneratedTensor, ImageDomain, Inputs, OutputSpace, TaskSpec
from metav_audit.zoo.architectures import call_function
from metav_audit.zoo.data_files import read_parquet, read_pictures
from metav_audit.zoo.device import CPU, moved
from metav_audit.zoo.outputs.registry import trained

MAX_DATA_BYTES = 8 << 30
_SUM = 1e-3
"""By how much the probabilities of an answer may miss a sum of 1."""
_DAMAGES = (ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Inputs of shape (n, *domain.shape), float32, and what belongs to them.

    Attributes:
        inputs: float32 of shape (n, *domain.shape).
        labels: classes, int64 of shape (n,); of a regression the values, float32 of shape (n, quantities); of a
            generator real examples, float32 of shape (n, *output.shape), to which the inputs, latent vectors, have no
            relation.
    """

    inputs: Inputs
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: NDArray[np.int64]) -> LabelledData:
        """Return the rows at ``index``."""
        return LabelledData(self.inputs[index], self.labels[index])

    def sha256(self) -> str:
        """Return a hash of the content."""
        digest = hashlib.sha256(np.ascontiguousarray(self.inputs).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class OwnerData:
    """Data by who holds it.

    Attributes:
        train: what the target was trained on; independents "of the same data" are trained on it too.
        heldout: data of the same task that the owner did not train on: what thieves and rivals have.
        validation: data on which every model's performance is measured.
    """

    train: LabelledData
    heldout: LabelledData
    validation: LabelledData


def performance_on(data: LabelledData, model: nn.Module, space: OutputSpace, device: torch.device = CPU) -> float:
    """Return a model's performance on labelled data, as a device sees it; see ``TrainedOutput.performance``."""
    inputs, labels = (torch.from_numpy(each).to(device) for each in (data.inputs, data.labels))
    with moved(device, model):
        return trained(space).performance(model, inputs, labels)


def load_data(reference: str, task: TaskSpec, what: str) -> LabelledData:
    """Load ``x`` and ``y`` from an ``.npz`` or ``.parquet`` file, a folder of pictures, or ``module:function``.

    The function returns (x, y); see ``metav_audit.zoo.data_files`` for folders and Parquet.

    For a generator ``x`` are real examples, and there is no ``y``: the function returns (x, None). 8-bit images are
    brought into the task's range; grey images may lack the channel dimension, colour images may have it last.

    Raises:
        ConfigurationError: the file or function cannot be found.
        DataError: the arrays do not fit the task.
    """
    generation = trained(task.output).adversarial
    names = ("x",) if generation else ("x", "y")
    raw = _raw(reference, task, names, what)
    try:
        raw_inputs, raw_labels = (np.asarray(each) for each in (*raw, None)[:2])
    except ValueError as error:
        raise DataError(f"{what} data {reference} is no pair of plain arrays: {error}") from error
    if generation:
        return _examples(raw_inputs, task, f"{what} x of {reference}")
    inputs = task.domain.check(_in_range(_in_shape(raw_inputs, task), task), f"{what} x of {reference}")
    return LabelledData(inputs, trained(task.output).labels(raw_labels, len(inputs), f"{what} y of {reference}"))


def _raw(reference: str, task: TaskSpec, names: tuple[str, ...], what: str) -> tuple[Any, ...]:
    if reference.endswith(".npz"):
        return _read_npz(Path(reference), names)
    if reference.endswith(".parquet"):
        return read_parquet(Path(reference), task)
    if Path(reference).is_dir():
        return read_pictures(Path(reference), task)
    return _call(reference, what)


def read_answered(path: Path, task: TaskSpec) -> tuple[Inputs, NDArray[np.float64]]:
    """Read ``x`` and ``answers`` of an ``.npz`` file: inputs as in the owner's data, and what a model answered to them.

    Returns:
        Inputs of shape (n, *domain.shape), and probabilities of all classes or values, float64 of shape (n, size).

    Raises:
        ConfigurationError: the file cannot be read.
        DataError: the arrays do not fit the task.
    """
    raw_inputs, raw = _read_npz(path, ("x", "answers"))
    inputs = task.domain.check(_in_range(_in_shape(np.asarray(raw_inputs), task), task), f"x of {path}")
    if raw.dtype.kind not in "biuf" or raw.shape[:1] != (len(inputs),) or not np.isfinite(raw).all():
        raise DataError(f"answers of {path} are not one row of finite numbers to each of the {len(inputs)} inputs")
    answers = raw.astype(np.float64).reshape(len(inputs), -1)
    if answers.shape[1] != task.output.size:
        raise DataError(f"answers of {path} have {answers.shape[1]} columns, the task has {task.output.size}")
    sums = answers.sum(axis=1)
    if task.output.labelled and (answers.min(initial=0) < 0 or np.abs(sums - 1).max(initial=0) > _SUM):
        at = int(np.abs(sums - 1).argmax())
        raise DataError(
            f"answers of {path} are no probabilities: those to input {at} sum to {sums[at]:.4g}. Give probabilities of "
            "all classes, of a label 1 and 0"
        )
    return inputs, answers


def _examples(raw: NDArray[Any], task: TaskSpec, what: str) -> LabelledData:
    """Return a generator's real examples, and as many latent vectors drawn from its domain."""
    space = task.output
    assert isinstance(space, GeneratedTensor)
    examples = _scaled(_channels_first(raw, space.shape), space.low, space.high)
    if examples.shape[1:] != space.shape or len(examples) < 2 or examples.dtype.kind not in "biuf":
        raise DataError(f"{what} has shape {raw.shape}, the task generates (n, {', '.join(map(str, space.shape))})")
    values = examples.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < space.low - 1e-5 or values.max() > space.high + 1e-5:
        raise DataError(f"{what} leaves the range {space.low:g} .. {space.high:g}: rescale it, or mend low and high")
    latents = task.domain.sample(len(values), np.random.default_rng(len(values)))
    return LabelledData(latents, values)


def _call(reference: str, what: str) -> tuple[Any, Any]:
    result = call_function(reference, f"{what} data")
    if not isinstance(result, tuple) or len(result) != 2:
        raise DataError(f"{what} data {reference} must return (x, y)")
    return result


def _read_npz(path: Path, names: tuple[str, ...]) -> tuple[Any, ...]:
    try:
        if path.stat().st_size > MAX_DATA_BYTES:
            raise DataError(f"{path} is larger than {MAX_DATA_BYTES} bytes: give a smaller sample")
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise DataError(f"{path} holds a single array: it must hold {' and '.join(names)} (numpy.savez)")
            return tuple(arrays[name] for name in names)
    except OSError as error:
        raise ConfigurationError(f"cannot read the data {path}: {error.strerror or error}") from error
    except KeyError as error:
        raise DataError(f"{path} lacks the array {error}: it must hold {' and '.join(names)}") from error
    except _DAMAGES as error:
        raise DataError(f"{path} is no .npz file of plain arrays ({error})") from error


def _in_shape(inputs: NDArray[Any], task: TaskSpec) -> NDArray[Any]:
    return _channels_first(inputs, task.domain.shape)


def _channels_first(arrays: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Bring images that lack their one channel, or have their channels last, into the task's shape."""
    if arrays.shape[1:] == shape or len(shape) != 3:
        return arrays
    if shape[0] == 1 and arrays.shape[1:] == shape[1:]:
        return arrays[:, None]
    if arrays.shape[1:] == (*shape[1:], shape[0]):
        return np.moveaxis(arrays, -1, 1)
    return arrays


def _in_range(inputs: NDArray[Any], task: TaskSpec) -> NDArray[Any]:
    domain = task.domain
    return _scaled(inputs, domain.low, domain.high) if isinstance(domain, ImageDomain) else inputs


def _scaled(arrays: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Bring 8-bit elements into a range; others are left as they are."""
    if arrays.dtype != np.uint8:
        return arrays
    unit = arrays.astype(np.float32) / 255
    return np.asarray(low + unit * (high - low), dtype=np.float32)
