"""Rows of a table: numbers on a grid within their range, and categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from metav_audit.errors import ConfigurationError
from metav_audit.task.domains.base import InputDomain, Inputs

MAX_WIDTH = 1 << 16
_MAX_STEPS = 1 << 20
_MISSING = frozenset({"", "nan", "NaN", "None", "<NA>", "NaT"})


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A number; a model sees it in [0, 1], 0 standing for ``low`` and 1 for ``high``.

    Attributes:
        name: the column's name on the wire.
        low: the smallest value that an API accepts.
        high: the largest.
        step: values on the wire are ``low`` plus a whole number of steps; 1 for whole numbers.
    """

    name: str
    low: float
    high: float
    step: float = 1.0

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf or not 0 < self.step < np.inf:
            raise ConfigurationError(
                f"column {self.name!r}: low {self.low} must be below high {self.high}, and step {self.step} above 0"
            )
        if self.steps > _MAX_STEPS:
            raise ConfigurationError(f"column {self.name!r}: from low to high are more than {_MAX_STEPS} steps")

    @property
    def width(self) -> int:
        """Elements of a model's input."""
        return 1

    @property
    def steps(self) -> int:
        """Steps from ``low`` to the highest value that is not above ``high``."""
        return int(np.floor((self.high - self.low) / self.step + 1e-9))

    def on_grid(self, unit: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the nearest step to elements in [0, 1], 0 .. steps, as int64."""
        places = np.rint(unit.astype(np.float64) * (self.high - self.low) / self.step)
        return np.clip(places, 0, self.steps).astype(np.int64)

    def unit(self, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return elements in [0, 1] from steps."""
        return steps * self.step / (self.high - self.low)

    def values(self, steps: np.ndarray[Any, Any]) -> list[float | int]:
        """Return what is written on the wire: whole numbers where low and step are whole."""
        if float(self.low).is_integer() and float(self.step).is_integer():
            return [int(self.low) + int(self.step) * int(step) for step in steps]
        # Twelve digits, so that 0.1 * 3 is written 0.3.
        return [float(f"{self.low + self.step * int(step):.12g}") for step in steps]


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """One of some categories; a model sees an element a category, 1 for the one that it is and 0 for the others.

    Attributes:
        name: the column's name on the wire.
        categories: as they are written on the wire.
    """

    name: str
    categories: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.categories) < 2 or len(set(self.categories)) != len(self.categories):
            raise ConfigurationError(f"column {self.name!r} needs at least two categories, all different")

    @property
    def width(self) -> int:
        """Elements of a model's input."""
        return len(self.categories)


Column = NumberColumn | CategoryColumn


@dataclass(frozen=True, slots=True)
class TabularDomain(InputDomain):
    """Rows with these columns, in this order.

    A model's input has shape (width,): an element in [0, 1] a number, and as many elements as categories for a category
    (one-hot). On the wire a row is an object from column names to numbers and texts, which ``rows`` writes.
    """

    kind: ClassVar[str] = "tabular"

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not names or len(set(names)) != len(names) or not all(names):
            raise ConfigurationError("a table needs columns with distinct names")
        if sum(column.width for column in self.columns) > MAX_WIDTH:
            raise ConfigurationError(f"a table's row has more than {MAX_WIDTH} elements")

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements of a row as a model sees it."""
        return (sum(column.width for column in self.columns),)

    def sample(self, count: int, rng: np.random.Generator) -> Inputs:
        """Draw numbers from the grid and categories, each uniformly."""
        parts = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                parts.append(column.unit(rng.integers(0, column.steps + 1, size=(count, 1))))
            else:
                parts.append(np.eye(column.width)[rng.integers(0, column.width, size=count)])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def clip(self, inputs: Inputs) -> Inputs:
        """Clamp to [0, 1]."""
        return np.clip(inputs, 0.0, 1.0)

    def project(self, inputs: Inputs) -> Inputs:
        """Round numbers to their grid, and let the highest element of a category stand; ties go to the first."""
        parts = []
        for column, part in self._parts(self.clip(inputs)):
            if isinstance(column, NumberColumn):
                parts.append(column.unit(column.on_grid(part)))
            else:
                parts.append(np.eye(column.width)[part.argmax(axis=1)])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def png(self, inputs: Inputs) -> None:
        """Return None: a row has no picture."""

    def rows(self, inputs: Inputs) -> list[dict[str, Any]]:
        """Return each input as an object from column names to numbers and texts, as an API takes it."""
        cells: list[Sequence[Any]] = []
        for column, part in self._parts(inputs):
            if isinstance(column, NumberColumn):
                cells.append(column.values(column.on_grid(part)[:, 0]))
            else:
                cells.append([column.categories[index] for index in part.argmax(axis=1)])
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Inputs:
        """Return rows, as ``rows`` writes them, as a model sees them: float32 of shape (n, width).

        Args:
            rows: objects from column names to numbers and texts, or a pandas.DataFrame.

        Raises:
            KeyError: a row lacks a column; the message says which row and column.
            ValueError: a value is missing, no number, out of range, or an unknown category; the message says where,
                what stands there and what to do.
        """
        if hasattr(rows, "to_dict"):
            rows = rows.to_dict("records")
        parts = []
        for column in self.columns:
            cells = [_cell(row, at, column.name) for at, row in enumerate(rows)]
            if isinstance(column, NumberColumn):
                values = np.array([_number(cell, at, column) for at, cell in enumerate(cells)], dtype=np.float64)
                unit = (values - column.low) / (column.high - column.low)
                parts.append(np.clip(unit, 0, 1)[:, None])
            else:
                places = {category: place for place, category in enumerate(column.categories)}
                told = [_category(cell, at, column, places) for at, cell in enumerate(cells)]
                parts.append(np.eye(column.width)[told])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Describe the domain in JSON types."""
        return {"kind": self.kind, "columns": [_column_json(column) for column in self.columns]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the domain from its columns: those with categories are categories, the others numbers."""
        values = dict(fields)
        columns = tuple(_column(dict(one)) for one in values.pop("columns"))
        return cls(columns, **values)

    def _parts(self, inputs: Inputs) -> Iterator[tuple[Column, Inputs]]:
        start = 0
        for column in self.columns:
            yield column, inputs[:, start : start + column.width]
            start += column.width


def _cell(row: Mapping[str, Any], at: int, name: str) -> Any:
    try:
        return row[name]
    except (KeyError, IndexError, TypeError):
        raise KeyError(f"row {at} has no column {name!r}: name the task's columns as the table's") from None


def _number(cell: Any, at: int, column: NumberColumn) -> float:
    where = f"row {at}, column {column.name!r}"
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = float("nan")
        if cell is not None and str(cell).strip() not in _MISSING:
            raise ValueError(
                f"{where}: {cell!r} is no number: convert it, or make the column one of categories"
            ) from None
    if np.isnan(value):
        raise ValueError(
            f"{where}: the value is missing: fill it as the model's own pipeline does, or leave the row out"
        )
    reach = 1e-9 * (column.high - column.low)
    if not column.low - reach <= value <= column.high + reach:
        raise ValueError(
            f"{where}: {value:g} is out of its range, {column.low:g} .. {column.high:g}: clip it, or widen low and high"
        )
    return value


def _category(cell: Any, at: int, column: CategoryColumn, places: Mapping[str, int]) -> int:
    if isinstance(cell, str) and cell in places:
        return places[cell]
    where = f"row {at}, column {column.name!r}"
    if cell is None or str(cell).strip() in _MISSING:
        raise ValueError(f"{where}: the value is missing: name a category for it, and write that")
    known = ", ".join(map(repr, column.categories[:6])) + (", ..." if len(column.categories) > 6 else "")
    raise ValueError(f"{where}: {cell!r} is none of its categories ({known}): map it to one of these, or add it")


def _column_json(column: Column) -> dict[str, Any]:
    fields = asdict(column)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _column(fields: dict[str, Any]) -> Column:
    if "categories" in fields:
        return CategoryColumn(str(fields.pop("name")), tuple(map(str, fields.pop("categories"))), **fields)
    return NumberColumn(str(fields.pop("name")), **{name: float(value) for name, value in fields.items()})
