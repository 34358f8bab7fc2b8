"""The registry of kinds of output on the owner's side: a line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from metav_audit.task import OutputKind, OutputSpace
from metav_audit.zoo.outputs.base import TrainedOutput
from metav_audit.zoo.outputs.classes import Classes
from metav_audit.zoo.outputs.generated import Generation
from metav_audit.zoo.outputs.quantities import Regression

KINDS: Mapping[OutputKind, type[TrainedOutput]] = MappingProxyType(
    {
        OutputKind.CLASSIFICATION: Classes,
        OutputKind.REGRESSION: Regression,
        OutputKind.GENERATION: Generation,
    }
)


def trained(space: OutputSpace) -> TrainedOutput:
    """Return the owner's side of such outputs."""
    return KINDS[space.kind](space)
