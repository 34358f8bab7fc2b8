"""The registry of methods: a line each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from metav_audit.config import nearest
from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.methods import (
    akh,
    anafp,
    committee,
    fitprint,
    ipguard,
    irisfp,
    local,
    metav,
    random,
    sac,
    siblings,
)
from metav_audit.fingerprint.methods.base import Method
from metav_audit.task import OutputKind

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        each.METHOD.name: each.METHOD
        for each in (metav, ipguard, fitprint, committee, local, akh, sac, random, siblings, irisfp, anafp)
    }
)
"""Methods by name."""

USUAL = ("committee", "metav", "ipguard")
"""Methods that are compared where nothing else is asked for."""

WITHOUT_GRADIENTS = ("siblings", "akh", "sac")
"""The same beside targets that give no gradients."""


def choose_methods(asked: Sequence[str], kinds: Collection[OutputKind], *, gradients: bool = True) -> tuple[str, ...]:
    """Return the methods asked for, or the usual ones that can serve all these kinds of output.

    Args:
        asked: names; none for the usual ones.
        kinds: of the targets' outputs.
        gradients: whether all targets give gradients.

    Raises:
        ConfigurationError: one of those asked for is unknown, or cannot serve one of the kinds.
    """
    for name in asked:
        for kind in kinds:
            find_method(name, kind)
    usual = USUAL if gradients else WITHOUT_GRADIENTS
    return tuple(asked) or tuple(name for name in usual if all(METHODS[name].serves(kind) for kind in kinds))


def default_method(kind: OutputKind, *, siblings: bool = False, scarce: bool = False) -> str:
    """Return the name of the method that does best where nothing else is asked for; docs/methods.md has the figures.

    Args:
        kind: of the task.
        siblings: whether the target has siblings: then the promise holds for suspects of anyone's making.
        scarce: whether the zoo has few independent lineages, from which metav learns nothing.
    """
    if siblings:
        return "siblings"
    return "committee" if kind is OutputKind.CLASSIFICATION or scarce else "metav"


def find_method(name: str, kind: OutputKind | None = None) -> Method:
    """Return the method of that name.

    Raises:
        ConfigurationError: there is none, or it cannot serve outputs of this kind.
    """
    if name not in METHODS:
        raise ConfigurationError(f"method {name!r} is unknown: use one of {', '.join(METHODS)}{nearest(name, METHODS)}")
    method = METHODS[name]
    if kind is not None and not method.serves(kind):
        able = ", ".join(one.name for one in METHODS.values() if one.serves(kind))
        raise ConfigurationError(f"method {name!r} compares classes, and a {kind} has none: use one of {able}")
    return method
