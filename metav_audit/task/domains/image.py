"""Images with a fixed shape, rounded by the wire to a fixed number of levels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from metav_audit.errors import ConfigurationError
from metav_audit.task.domains.base import InputDomain, Inputs

_MAX_ELEMENTS = 1 << 24


@dataclass(frozen=True, slots=True)
class ImageDomain(InputDomain):
    """Images of shape (channels, height, width) in ``[low, high]``, sent with ``levels`` grey levels a channel.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        height: rows.
        width: columns.
        low: the model-side value of the darkest level.
        high: the model-side value of the brightest level.
        levels: levels that survive the wire; 256 for 8-bit images.

    What reaches a model is a picture of whole levels, and so are queries:

    >>> domain = ImageDomain(1, 2, 2, levels=256)
    >>> pixels = domain.project(np.array([[[[0.1, 0.5], [1.2, -3.0]]]], np.float32))
    >>> (255 * pixels).round().tolist()
    [[[[26.0, 128.0], [255.0, 0.0]]]]
    """

    kind: ClassVar[str] = "image"

    channels: int
    height: int
    width: int
    low: float = 0.0
    high: float = 1.0
    levels: int = 256

    def __post_init__(self) -> None:
        if not all(type(count) is int for count in (self.channels, self.height, self.width, self.levels)):
            raise ConfigurationError("an image's channels, height, width and levels are whole numbers")
        if self.channels not in (1, 3):
            raise ConfigurationError(f"an image has 1 or 3 channels, not {self.channels}")
        if min(self.height, self.width) < 1 or self.channels * self.height * self.width > _MAX_ELEMENTS:
            raise ConfigurationError(f"an image of {self.height} x {self.width} is not supported")
        if not -np.inf < self.low < self.high < np.inf:
            raise ConfigurationError(
                f"the image range {self.low} .. {self.high} is no range: low must be below high, both finite"
            )
        if not 2 <= self.levels <= 256:
            raise ConfigurationError(f"an image has 2 to 256 levels, not {self.levels}")
        steps = np.arange(self.levels)
        if not np.array_equal(self.grid(self._from_grid(steps)), steps):
            raise ConfigurationError(
                f"{self.levels} levels between {self.low} and {self.high} are too close for 32-bit floats: "
                "shift the range towards 0"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return (self.channels, self.height, self.width)

    def sample(self, count: int, rng: np.random.Generator) -> Inputs:
        """Draw uniform noise on the grid of levels."""
        return self._from_grid(rng.integers(0, self.levels, size=(count, *self.shape)))

    def clip(self, inputs: Inputs) -> Inputs:
        """Clamp to ``[low, high]``."""
        return np.clip(inputs, self.low, self.high)

    def project(self, inputs: Inputs) -> Inputs:
        """Round to the nearest level."""
        return self._from_grid(self.grid(inputs))

    def grid(self, inputs: Inputs) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the level of every element, 0 .. levels - 1, as uint8."""
        unit = (self.clip(inputs).astype(np.float64) - self.low) / (self.high - self.low)
        return np.rint(unit * (self.levels - 1)).astype(np.uint8)

    def png(self, inputs: Inputs) -> list[bytes]:
        """Return each image as an 8-bit PNG, whose reader finds every level again by rounding."""
        from PIL import Image

        files = []
        for picture in np.rint(self.grid(inputs) * (255 / (self.levels - 1))).astype(np.uint8):
            channels_last = picture.transpose(1, 2, 0)
            buffer = io.BytesIO()
            Image.fromarray(channels_last.squeeze(2) if self.channels == 1 else channels_last).save(buffer, "PNG")
            files.append(buffer.getvalue())
        return files

    def to_json(self) -> dict[str, Any]:
        """Describe the domain in JSON types."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the domain from ``to_json``'s fields without ``kind``."""
        return cls(**fields)

    def _from_grid(self, levels: np.ndarray[Any, Any]) -> Inputs:
        unit = levels.astype(np.float64) / (self.levels - 1)
        return (self.low + unit * (self.high - self.low)).astype(np.float32)
