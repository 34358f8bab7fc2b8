"""Outputs that are numbers themselves: the quantities of a regression, and the tensor that a generator returns."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, prod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task.outputs.base import OutputKind, OutputSpace, ScoreKind, Values, check_names

_MAX_ELEMENTS = 1 << 20

_UNVARIED = 1e-9
"""Features that span no more are the same."""


class _Numbers(OutputSpace):
    """What the two have in common: a feature is a value, shifted and scaled."""

    score_kinds: ClassVar[tuple[ScoreKind, ...]] = (ScoreKind.VALUE,)

    def blank(self) -> Values:
        """Return the middle of the space, which any model might give."""
        return np.zeros(self.size)

    def distance(self, one: NDArray[Any], other: NDArray[Any]) -> Values:
        """Return the root of the mean squared difference of the elements, in units."""
        difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
        return np.asarray(np.sqrt((difference**2).mean(axis=-1)), dtype=np.float64)

    def drift(self, one: NDArray[Any], other: NDArray[Any]) -> float:
        """Return the largest difference in units; infinite where other elements are shown."""
        if (np.isnan(one) != np.isnan(other)).any():
            return float("inf")
        return float(np.nanmax(np.abs(one - other), initial=0.0))


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity that a regression predicts.

    Attributes:
        name: of the quantity, such as "dose".
        center: a usual value, such as the mean of the training data.
        scale: how far values usually lie from it, such as their standard deviation; above 0.
    """

    name: str
    center: float
    scale: float


@dataclass(frozen=True, slots=True)
class Quantities(_Numbers):
    """The quantities of a regression, in this order; a feature is a value's distance from the center, in scales.

    Features are clipped to ``±CAP``: beyond, a model is lost, and how far tells nothing.
    """

    CAP: ClassVar[float] = 20.0
    kind: ClassVar[OutputKind] = OutputKind.REGRESSION
    unit: ClassVar[str] = "standard deviations"
    tolerance: ClassVar[float] = 0.01
    constant: ClassVar[float] = 1e-5
    spread: ClassVar[float] = 1.0

    quantities: tuple[Quantity, ...]

    def __post_init__(self) -> None:
        if not self.quantities:
            raise ConfigurationError("a regression predicts at least one quantity: name it")
        check_names(self.labels, "quantities")
        for one in self.quantities:
            if not (isfinite(one.center) and isfinite(one.scale) and one.scale > 0):
                raise ConfigurationError(
                    f"the quantity {one.name!r} has center {one.center} and scale {one.scale}: both must be finite, "
                    "and the scale above 0"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The quantities' names."""
        return tuple(one.name for one in self.quantities)

    @property
    def shape(self) -> tuple[int, ...]:
        """One element a quantity."""
        return (len(self.quantities),)

    @property
    def center(self) -> Values:
        """The centers, of shape (size,)."""
        return np.array([one.center for one in self.quantities])

    @property
    def scale(self) -> Values:
        """The scales, of shape (size,)."""
        return np.array([one.scale for one in self.quantities])

    def check(self, shown: Sequence[float], *, complete: bool, kind: ScoreKind) -> None:
        """Take any finite numbers."""
        del shown, complete, kind

    def canonical(self, raw: NDArray[Any], kind: ScoreKind) -> Values:
        """Return (value - center) / scale, clipped."""
        del kind
        with np.errstate(over="ignore"):  # What is too far for a float is clipped with the rest.
            return np.clip((np.asarray(raw, np.float64) - self.center) / self.scale, -self.CAP, self.CAP)

    def shown(self, features: NDArray[Any]) -> Values:
        """Return the values."""
        return np.asarray(np.asarray(features, dtype=np.float64) * self.scale + self.center)

    def rightness(
        self, values: NDArray[Any], mask: NDArray[np.bool_], reference: NDArray[Any], pool: NDArray[Any]
    ) -> float:
        """Return the correlation of the least correlated quantity; 0 where a quantity does not vary."""
        del mask, pool
        found = 1.0
        for one, other in zip(values.T.astype(np.float64), reference.T.astype(np.float64), strict=True):
            varied = min(np.ptp(one), np.ptp(other)) > _UNVARIED
            found = min(found, float(np.corrcoef(one, other)[0, 1]) if varied else 0.0)
        return found

    def achieved(self, rightness: float, answered: int) -> str:
        """Give the correlation."""
        del answered
        return f"the values correlate with the target's by {rightness:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Describe the space in JSON types."""
        return {"kind": self.kind.value, "quantities": [asdict(one) for one in self.quantities]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the space from its quantities."""
        named = fields["quantities"]
        return cls(tuple(Quantity(str(one["name"]), float(one["center"]), float(one["scale"])) for one in named))


@dataclass(frozen=True, slots=True)
class GeneratedTensor(_Numbers):
    """A tensor with elements in ``[low, high]``, such as an image of shape (channels, height, width).

    A feature is an element's distance from the middle of the range, in widths of the range, so in [-0.5, 0.5]. Where
    the API sends images, ``levels`` says how many levels of an element survive; 0 where it sends the numbers.
    """

    kind: ClassVar[OutputKind] = OutputKind.GENERATION
    unit: ClassVar[str] = "widths of the range"
    followed: ClassVar[bool] = False
    tolerance: ClassVar[float] = 0.01
    constant: ClassVar[float] = 1e-5
    spread: ClassVar[float] = 0.25

    sizes: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0
    levels: int = 0

    def __post_init__(self) -> None:
        whole = all(type(size) is int and size > 0 for size in self.sizes)
        if not self.sizes or not whole or prod(self.sizes) > _MAX_ELEMENTS:
            raise ConfigurationError(f"a generated tensor of shape {list(self.sizes)} is not supported")
        if not -np.inf < self.low < self.high < np.inf:
            raise ConfigurationError(f"{self.low} .. {self.high} is no range: low must be below high, both finite")
        if self.levels != 0 and not 2 <= self.levels <= 65536:
            raise ConfigurationError(f"an element has 2 to 65536 levels, or 0 for any number, not {self.levels}")

    @property
    def labels(self) -> tuple[str, ...]:
        """Elements have no names."""
        return ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width, for an image."""
        return self.sizes

    @property
    def is_picture(self) -> bool:
        """Whether it is a grey or colour image."""
        return len(self.sizes) == 3 and self.sizes[0] in (1, 3)

    def from_picture(self, content: bytes) -> list[float]:
        """Return the elements of an answer that is a PNG or JPEG file, row by row.

        Raises:
            AnswerError: it is none, or has another size.
        """
        from PIL import Image, UnidentifiedImageError

        channels, height, width = self.sizes if self.is_picture else (0, 0, 0)
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture,
            ):
                if picture.size != (width, height):
                    raise AnswerError(f"an answer is a picture of {picture.size}, the task says {(width, height)}")
                levels = np.asarray(picture.convert("L" if channels == 1 else "RGB"), dtype=np.float64)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise AnswerError(f"an answer is no PNG or JPEG file: {type(error).__name__}") from None
        channels_first = np.moveaxis(levels.reshape(height, width, channels), -1, 0)
        elements: list[float] = (self.low + channels_first / 255 * (self.high - self.low)).ravel().tolist()
        return elements

    def check(self, shown: Sequence[float], *, complete: bool, kind: ScoreKind) -> None:
        """Check that the elements lie in the range, but for rounding."""
        del complete, kind
        slack = 0.02 * (self.high - self.low)
        if min(shown) < self.low - slack or max(shown) > self.high + slack:
            raise AnswerError(
                f"an answer spans {min(shown):g} .. {max(shown):g}, the task says {self.low:g} .. {self.high:g}: set "
                "low and high to the range of what the API returns"
            )

    def canonical(self, raw: NDArray[Any], kind: ScoreKind) -> Values:
        """Return elements in [-0.5, 0.5], on the grid of levels."""
        del kind
        with np.errstate(over="ignore"):
            unit = np.clip((np.asarray(raw, dtype=np.float64) - self.low) / (self.high - self.low), 0.0, 1.0)
        if self.levels:
            unit = np.rint(unit * (self.levels - 1)) / (self.levels - 1)
        return np.asarray(unit - 0.5)

    def shown(self, features: NDArray[Any]) -> Values:
        """Return the elements."""
        return np.asarray((np.asarray(features, dtype=np.float64) + 0.5) * (self.high - self.low) + self.low)

    def rightness(
        self, values: NDArray[Any], mask: NDArray[np.bool_], reference: NDArray[Any], pool: NDArray[Any]
    ) -> float:
        """Return how like outputs are to the nearest of a pool's: 1 where they are among them, above 0.

        Half of it is how like the pool's own models are to each other.
        """
        del mask, reference
        usual = np.median([_nearest(each, np.delete(pool, at, 0)) for at, each in enumerate(pool)])
        return float(usual / (usual + _nearest(values, pool) + 1e-12))

    def achieved(self, rightness: float, answered: int) -> str:
        """Give the likeness."""
        del answered
        return f"a likeness of {rightness:.2f} to outputs of the task's models"

    def to_json(self) -> dict[str, Any]:
        """Describe the space in JSON types."""
        rest = {"low": self.low, "high": self.high, "levels": self.levels}
        return {"kind": self.kind.value, "shape": list(self.sizes), **rest}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the space from shape, range and levels."""
        values = dict(fields)
        return cls(tuple(values.pop("shape")), **values)


def _nearest(values: NDArray[Any], pool: NDArray[Any]) -> float:
    """Return how far outputs lie from the nearest of any output in a pool, on average."""
    flat = pool.reshape(-1, pool.shape[-1])
    return float(np.mean([np.abs(flat - one).mean(axis=1).min() for one in values]))
