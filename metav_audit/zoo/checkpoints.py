"""What torch.save and torch.jit.save wrote: states of weights alone, and TorchScript.

A state is read with ``weights_only``: no pickle of anything but tensors is opened. TorchScript is a program of torch's
own operators, which torch's own reader, not Python's, opens; what reads or writes files is refused.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError
from metav_audit.files import open_regular
from metav_audit.zoo.store import load_weights

CHECKPOINTS = (".pt", ".pth", ".ckpt")
"""Endings of torch's own files."""

_NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
_BEFORE = ("module.", "model.", "_orig_mod.", "net.")
_SHOWN = 4
_MOST_CODE = 1 << 26
_REACHES_OUT = re.compile(
    r"\b(ops\.(?!(aten|prim|prims|quantized|torchvision)\.)\w+|torch\.(from_file|save|load)\b|from_file)"
)


def load_state(network: nn.Module, path: Path, what: str) -> nn.Module:
    """Load a file of weights into a network of the same structure.

    Args:
        network: changed in place.
        path: a safetensors file, or what torch.save wrote of a state: ``module.`` before all names, which wrappers put
            there, is taken away, and a state is found under its usual names in a larger checkpoint.
        what: it is, for messages.

    Raises:
        DataError: it cannot be read, or is of another structure; names and sizes are said.
    """
    if path.suffix not in CHECKPOINTS:
        return load_weights(network, path, what)
    state = _read_state(path, what)
    own = network.state_dict()
    state = _without_wrapper(state, own)
    if faults := list(_faults(state, own)):
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{what} {path} do not fit the network: {'; '.join(faults[:_SHOWN])}{more}")
    network.load_state_dict(state)
    return network.eval()


def _read_state(path: Path, what: str) -> dict[str, Tensor]:
    try:
        with open_regular(path, follow=True) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(file, weights_only=True, map_location="cpu")
    except OSError as error:
        raise DataError(f"cannot read {what} {path}: {error.strerror or error}") from None
    except FOREIGN as error:
        raise DataError(
            f"{what} {path} are no state of weights: the file holds a whole model or other objects, which would run "
            "code when they are read. Save the weights alone, torch.save(model.state_dict(), ...)"
        ) from error
    for name in _NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if not isinstance(loaded, Mapping) or not all(isinstance(each, Tensor) for each in loaded.values()):
        raise DataError(
            f"{what} {path} hold no tensors by name, but {type(loaded).__name__}: save model.state_dict() alone"
        )
    return {str(name): tensor for name, tensor in loaded.items()}


def _without_wrapper(state: dict[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take away what a wrapper put before all names, as long as the names are not the network's."""
    for _ in range(3):
        for before in _BEFORE:
            if state and not set(state) & set(own) and all(name.startswith(before) for name in state):
                state = {name.removeprefix(before): tensor for name, tensor in state.items()}
    return state


def _faults(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in own.items():
        if name not in state:
            yield f"{name!r} of {tuple(tensor.shape)} is missing"
        elif state[name].shape != tensor.shape:
            yield f"{name!r} is {tuple(state[name].shape)} in the file and {tuple(tensor.shape)} in the network"
    for name in sorted(set(state) - set(own)):
        yield f"{name!r} of {tuple(state[name].shape)} is none of the network's"


def load_script(path: Path) -> nn.Module:
    """Load a TorchScript file as the network that it is, gradients and all.

    Raises:
        ConfigurationError: there is none.
        DataError: it is none, or reaches out of torch.
    """
    try:
        with open_regular(path, follow=True) as file:
            _check_script(path, file)
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded: nn.Module = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigurationError(f"cannot read the target model {path}: {error.strerror or error}") from None
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{path} is no program that torch.jit.save wrote: {first[:300]}") from error
    return loaded


def _check_script(path: Path, file: Any) -> None:
    if not zipfile.is_zipfile(file):
        raise DataError(_weights_alone(path))
    with zipfile.ZipFile(file) as archive:
        code = [entry for entry in archive.infolist() if entry.filename.endswith((".py", ".ts"))]
        if not code:
            raise DataError(_weights_alone(path))
        if sum(entry.file_size for entry in code) > _MOST_CODE:
            raise DataError(f"{path} holds more than {_MOST_CODE} bytes of code: this is no model")
        for entry in code:
            if found := _REACHES_OUT.search(archive.read(entry).decode(errors="replace")):
                raise DataError(
                    f"{path} calls {found[0]}, which is none of torch's own operators on tensors: it is not opened; "
                    "bring the model as module:function if it is yours"
                )


def _weights_alone(path: Path) -> str:
    return (
        f"{path} is no TorchScript: if it holds weights, name the function that builds the network, "
        f'model = "module:function", and weights = "{path.name}"; a whole model that torch.save wrote is not opened'
    )
