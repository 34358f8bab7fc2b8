"""The content-addressed store: one safetensors file a model, named by the hash of everything that made it.

A file stands whole or not at all, so a run that was killed loses at most the models in training. What came to stand
otherwise, where a far place writes in pieces, does not bear its own hash and counts as missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.files import strict_json, write_atomically
from metav_audit.zoo.remote import RemoteFolder


def content_address(making: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description in JSON types, in hexadecimal."""
    text = json.dumps(making, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_same_making(here: str, wanted: str) -> None:
    """See that a worker makes what it was asked to make.

    Raises:
        ConfigurationError: it would make, and store, something else.
    """
    if here != wanted:
        raise ConfigurationError(
            "a worker has another target, other data or another version of metav-audit than the machine that plans: "
            "all of them need the same project folder at the same path, and the same environment"
        )


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's parameters and buffers by name, contiguous copies on the CPU."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}


def weights_hash(model: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of a model's state."""
    return _state_hash(state_of(model))


def _state_hash(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(safetensors.torch.save({"tensor": tensor}))
    return digest.hexdigest()


def load_weights(model: nn.Module, path: Path, what: str) -> nn.Module:
    """Load a safetensors file into a model of the same structure.

    Raises:
        DataError: the file is missing or damaged, or holds another structure.
    """
    try:
        state = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {what} {path}: {error}") from error
    return fit_weights(model, state, f"{what} {path}")


def fit_weights(model: nn.Module, state: Mapping[str, Tensor], what: str) -> nn.Module:
    """Load tensors by name into a model of the same structure.

    Raises:
        DataError: they are of another structure.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{what} does not fit the model's structure: {first}") from error
    return model.eval()


def _performance(metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> float | None:
    """Return the performance that a file states, or None where its tensors are not those that it states."""
    return float(metadata["performance"]) if metadata["state_sha256"] == _state_hash(state) else None


@dataclass(frozen=True, slots=True)
class Store:
    """Models by content address, below one folder, here or elsewhere.

    Attributes:
        folder: a path; or an address that fsspec knows, as s3://bucket/zoo.
    """

    folder: Path | str

    @property
    def _remote(self) -> RemoteFolder | None:
        return RemoteFolder(self.folder) if isinstance(self.folder, str) else None

    def path(self, address: str) -> Path:
        """Return where a model of a local folder lies or would lie."""
        return Path(self.folder) / _name(address)

    def prepare(self) -> None:
        """See that models can be stored.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        if (remote := self._remote) is not None:
            remote.check_writable()
            return
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {self.folder}: {error.strerror}; choose a folder you may write to"
            ) from error

    def holds(self, address: str) -> bool:
        """Say whether there is a model's file, whole or not; errors: ``performance``'s."""
        if (remote := self._remote) is not None:
            return remote.version(_name(address)) is not None
        return self.path(address).exists()

    def performance(self, address: str) -> float | None:
        """Return the stored model's performance, or None if the model is not there whole and unaltered.

        Raises:
            RemoteError: the store lies elsewhere and cannot be asked.
        """
        if (remote := self._remote) is not None:
            return remote.judged(_name(address), _performance_in)
        try:
            with safetensors.safe_open(self.path(address), framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - file is no mapping
                return _performance(file.metadata(), state)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def save(self, address: str, model: nn.Module, performance: float) -> None:
        """Write a model whole or not at all."""
        state = state_of(model)
        metadata = {"performance": repr(performance), "state_sha256": _state_hash(state)}
        self.write(_name(address), safetensors.torch.save(state, metadata=metadata))

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the store whole or not at all.

        Raises:
            ConfigurationError, RemoteError: it cannot be written.
        """
        if (remote := self._remote) is not None:
            remote.write(name, content)
        else:
            write_atomically(Path(self.folder) / name, content)

    def load(self, address: str, structure: nn.Module) -> nn.Module:
        """Load a model's weights into ``structure``; errors: ``load_weights``'s, and RemoteError."""
        if (remote := self._remote) is None:
            return load_weights(structure, self.path(address), "the zoo's model")
        where = f"the zoo's model {self.folder}/{_name(address)}"
        content = remote.read(_name(address))
        if content is None:
            raise DataError(f"cannot read {where}: it is not there")
        try:
            return fit_weights(structure, safetensors.torch.load(content), where)
        except SafetensorError as error:
            raise DataError(f"cannot read {where}: {error}") from error


def _name(address: str) -> str:
    return f"{address}.safetensors"


def _performance_in(content: bytes) -> float | None:
    """Return what ``Store.performance`` does, of a file's content."""
    try:
        state = safetensors.torch.load(content)
        # A safetensors file is the length of its header in eight bytes, its header, and its tensors.
        header = strict_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return _performance(header["__metadata__"], state)
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
