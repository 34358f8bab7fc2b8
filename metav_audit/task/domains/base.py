"""The interface every input domain fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import DataError

Inputs = NDArray[np.float32]


class InputDomain(ABC):
    """The set of inputs that a prediction API of one task accepts.

    Arrays of inputs are float32 of shape ``(n, *shape)``, in the model's own units.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension."""

    @abstractmethod
    def sample(self, count: int, rng: np.random.Generator) -> Inputs:
        """Draw ``count`` valid inputs, far from any data: the start of an optimisation."""

    @abstractmethod
    def clip(self, inputs: Inputs) -> Inputs:
        """Bring relaxed inputs back into the domain's continuous range."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value of an element."""
        low, high = self.clip(np.array([-np.inf, np.inf], dtype=np.float32)).tolist()
        return low, high

    @property
    def extent(self) -> float:
        """Width of the range of an element."""
        low, high = self.bounds
        return high - low

    @abstractmethod
    def project(self, inputs: Inputs) -> Inputs:
        """Return the nearest valid inputs: exactly what arrives at the other end of the wire. Idempotent."""

    @abstractmethod
    def png(self, inputs: Inputs) -> list[bytes] | None:
        """Return each input as a PNG file, or None where the domain has no picture."""

    def rows(self, inputs: Inputs) -> list[dict[str, Any]] | None:
        """Return each input as an object of named cells, or None where the domain is no table."""
        del inputs
        return None

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Describe the domain in JSON types; ``domain_from_json`` reads it back."""

    @classmethod
    @abstractmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the domain from ``to_json``'s fields without ``kind``."""

    def check(self, inputs: NDArray[Any], what: str) -> Inputs:
        """Return ``inputs`` as float32 if they have this domain's shape and range.

        Raises:
            DataError: not numbers, wrong shape, nothing in it, not finite, or out of range.
        """
        if inputs.dtype.kind not in "biuf":
            raise DataError(f"{what} holds no real numbers but {inputs.dtype}: give a numeric array")
        if inputs.ndim != len(self.shape) + 1 or inputs.shape[1:] != self.shape:
            wanted = f"(n, {', '.join(map(str, self.shape))})"
            raise DataError(f"{what} has shape {inputs.shape}, the task wants {wanted}: bring it into the task's form")
        if len(inputs) == 0:
            raise DataError(f"{what} is empty: give at least one input")
        with np.errstate(over="ignore"):
            values = inputs.astype(np.float32)
        if not np.isfinite(values).all():
            raise DataError(f"{what} holds NaN or infinite values: clean them first")
        if not np.allclose(self.clip(values), values, atol=1e-5):
            raise DataError(
                f"{what} leaves the task's range (it spans {values.min():g} .. {values.max():g}): "
                "rescale it, or mend the range in the task"
            )
        return values
