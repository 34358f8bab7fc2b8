"""Latent vectors that a generator turns into an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from metav_audit.errors import ConfigurationError
from metav_audit.task.domains.base import InputDomain, Inputs

_MAX_SIZE = 1 << 16


@dataclass(frozen=True, slots=True)
class LatentDomain(InputDomain):
    """Vectors of ``size`` elements within ``±bound``, as a sampler of the standard normal distribution gives them.

    Attributes:
        size: elements of a vector.
        bound: the largest magnitude of an element; a sampler hardly ever goes beyond 3.
        decimals: decimals of an element that survive the wire.
    """

    kind: ClassVar[str] = "latent"

    size: int
    bound: float = 3.0
    decimals: int = 4

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= _MAX_SIZE:
            raise ConfigurationError(f"a latent vector of {self.size} elements is not supported")
        if not 0 < self.bound < 1000:
            raise ConfigurationError(f"the bound of a latent vector lies above 0 and below 1000, not at {self.bound}")
        if type(self.decimals) is not int or not 0 <= self.decimals <= 4:
            raise ConfigurationError(f"a latent vector has 0 to 4 decimals, not {self.decimals}")

    @property
    def shape(self) -> tuple[int, ...]:
        """One dimension."""
        return (self.size,)

    def sample(self, count: int, rng: np.random.Generator) -> Inputs:
        """Draw from the standard normal distribution, cut at the bound."""
        return self.project(rng.standard_normal((count, self.size)).astype(np.float32))

    def clip(self, inputs: Inputs) -> Inputs:
        """Clamp to ``±bound``."""
        return np.clip(inputs, -self.bound, self.bound)

    def project(self, inputs: Inputs) -> Inputs:
        """Round to the decimals that survive."""
        shift = 10**self.decimals
        # Rounded towards 0 at the bound, which may have more decimals than an element.
        most = np.floor(self.bound * shift + 1e-9)
        places = np.clip(np.rint(inputs.astype(np.float64) * shift), -most, most)
        return np.asarray(places / shift, dtype=np.float32)

    def png(self, inputs: Inputs) -> None:
        """Return None: a vector has no picture."""

    def to_json(self) -> dict[str, Any]:
        """Describe the domain in JSON types."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the domain from ``to_json``'s fields without ``kind``."""
        return cls(**fields)
