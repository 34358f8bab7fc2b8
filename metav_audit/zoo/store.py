"""The content-addressed store: one safetensors file a model, named by the hash of everything that made it.

A file stands whole or not at all, so a run that was killed loses at most the models in training.
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

from metav_audit.errors import DataError
from metav_audit.files import write_atomically


def content_address(making: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description in JSON types, in hexadecimal."""
    text = json.dumps(making, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
        model.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {what} {path}: {error}") from error
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{what} {path} does not fit the model's structure: {first}") from error
    return model.eval()


@dataclass(frozen=True, slots=True)
class Store:
    """Models by content address, below one folder."""

    folder: Path

    def path(self, address: str) -> Path:
        """Return where a model lies or would lie."""
        return self.folder / f"{address}.safetensors"

    def performance(self, address: str) -> float | None:
        """Return the stored model's performance, or None if the model is not there whole and unaltered."""
        try:
            with safetensors.safe_open(self.path(address), framework="pt") as file:
                metadata = file.metadata()
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - file is no mapping
            return float(metadata["performance"]) if metadata["state_sha256"] == _state_hash(state) else None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def save(self, address: str, model: nn.Module, performance: float) -> None:
        """Write a model whole or not at all."""
        state = state_of(model)
        metadata = {"performance": repr(performance), "state_sha256": _state_hash(state)}
        content = safetensors.torch.save(state, metadata=metadata)
        write_atomically(self.path(address), content)

    def load(self, address: str, structure: nn.Module) -> nn.Module:
        """Load a model's weights into ``structure``."""
        return load_weights(structure, self.path(address), "the zoo's model")
