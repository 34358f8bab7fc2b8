"""Questions: what the auditor's client needs of whatever it asks, a fingerprint or another."""

from __future__ import annotations

from typing import Protocol

from metav_audit.bundle.natural import NaturalInputs
from metav_audit.task import Inputs, TaskSpec


class Questions(Protocol):
    """Inputs for an endpoint, under one hash.

    Attributes:
        task: what every model of the task takes and gives.
        inputs: float32 of shape (N, *domain.shape), valid in the domain.
        natural: inputs of the task that tell whether an endpoint was asked rightly; None where there are none.
        commitment: the attestation that speaks of them, unread; None where there is none.
        sha256: what stands for all of it.
    """

    @property
    def task(self) -> TaskSpec: ...  # noqa: D102
    @property
    def inputs(self) -> Inputs: ...  # noqa: D102
    @property
    def natural(self) -> NaturalInputs | None: ...  # noqa: D102
    @property
    def commitment(self) -> bytes | None: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
