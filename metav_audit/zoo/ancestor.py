"""The ancestor: the public model that the target was tuned from, where rivals and thieves can start, too.

Its last layer may be another one: then every run draws its own, as in transfer learning (Yosinski et al., NIPS 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.project import Project, Workshop
from metav_audit.zoo.target import prefix_for
from metav_audit.zoo.training import clone, last_layer

NONE = "none"
"""What a project states where the target was trained from random weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Ancestor:
    """The weights that the target was tuned from.

    Attributes:
        state: those that fit the target's structure, by its names.
        whole: whether all do; without, the last layer is another.
        sha256: of the file, in hexadecimal.
    """

    state: Mapping[str, Tensor]
    whole: bool
    sha256: str

    def put_into(self, model: nn.Module) -> nn.Module:
        """Put the weights into a model of the target's structure, whose last layer stays where it is another."""
        model.load_state_dict({**model.state_dict(), **self.state})
        return model


def ancestor_sha256(project: Project) -> str | None:
    """Name a project's ancestor: by the SHA-256 of its file, as "none", or None where nothing is stated.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    stated = project.ancestor
    return stated if stated in (None, NONE) else _sha256(project.folder / stated)


@lru_cache(maxsize=4)
def load_ancestor(workshop: Workshop) -> Ancestor | None:
    """Load the ancestor that a project names; None where it names none.

    Raises:
        ConfigurationError: the file cannot be read.
        DataError: it is damaged, or fits the target's structure not even up to the last layer.
    """
    stated = workshop.project.ancestor
    if stated in (None, NONE):
        return None
    path, form = workshop.project.folder / stated, workshop.target.network.state_dict()
    sha256 = _sha256(path)
    try:
        own = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read the ancestor's weights {path} as safetensors: {error}") from error
    prefix = prefix_for(form, own)
    named = {prefix + name: tensor for name, tensor in own.items()}
    fitting = {name: tensor for name, tensor in named.items() if name in form and tensor.shape == form[name].shape}
    if odd := (form.keys() - fitting.keys()) - _last_names(workshop.target.network):
        raise DataError(
            f"the ancestor's weights {path} are no start for the target: they lack {min(odd)!r} in its shape, "
            f"{tuple(form[min(odd)].shape)}, and only the last layer may be another"
        )
    return Ancestor(fitting, fitting.keys() == form.keys(), sha256)


def whole_ancestor(workshop: Workshop) -> nn.Module | None:
    """Return the ancestor as a model of the task; None without one, or where its last layer is another."""
    ancestor = load_ancestor(workshop)
    if ancestor is None or not ancestor.whole:
        return None
    model = ancestor.put_into(clone(workshop.target.network)).eval()
    return model.requires_grad_(requires_grad=False)


def _last_names(model: nn.Module) -> set[str]:
    last = {id(parameter) for parameter in last_layer(model)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in last}


def checkpoint_sha256(project: Project) -> str | None:
    """Return the SHA-256 of the checkpoint that a project's siblings go on from; None where they share no run.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    stated = None if project.training is None else project.training.checkpoint
    return None if stated is None else _sha256(project.folder / stated)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the weights {path} that runs start from: {error.strerror}; name the file as ancestor or "
            'checkpoint below [training], and write ancestor = "none" where the target was trained from random weights'
        ) from error
