"""What a format of models is: how its files are known, written and read, and how such a model is asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import ConfigurationError
from metav_audit.task import Inputs, TabularDomain, TaskSpec

Outputs = Literal["logits", "probabilities", "values"]
Feed = Literal["array", "frame"]


class Said(NamedTuple):
    """What a model said: logits, probabilities or values of shape (n,) or (n, columns)."""

    outputs: Outputs
    numbers: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Given:
    """Inputs as a model of another library takes them.

    Attributes:
        inputs: float32 of shape (n, *domain.shape).
        task: what they are of.
        feed: "array", as the task has them, or "frame", a table of named columns in their own units.
        outputs: what the model gives where its format cannot tell.
    """

    inputs: Inputs
    task: TaskSpec
    feed: Feed
    outputs: Outputs

    @property
    def flat(self) -> NDArray[np.float32]:
        """The inputs as rows of numbers."""
        return np.ascontiguousarray(self.inputs.reshape(len(self.inputs), -1), dtype=np.float32)

    @property
    def fed(self) -> Any:
        """What a model of rows is given: an array of shape (n, width), or a pandas.DataFrame."""
        return frame_of(self.inputs, self.task) if self.feed == "frame" else self.flat

    def shares(self, numbers: Any) -> Said:
        """Return probabilities of a classification, or values."""
        return Said("probabilities" if self.task.output.labelled else "values", np.asarray(numbers))


def frame_of(inputs: Inputs, task: TaskSpec) -> Any:
    """Return rows of a table as a pandas.DataFrame: its columns' names and units, its categories as such.

    Args:
        inputs: float32 of shape (n, *domain.shape).
        task: whose input is tabular.

    Raises:
        ConfigurationError: its input is no table.
    """
    import pandas as pd

    domain = task.domain
    if not isinstance(domain, TabularDomain):
        raise ConfigurationError('feed = "frame" is for tables, and the task\'s input is none: leave it out')
    known = {column.name: getattr(column, "categories", None) for column in domain.columns}
    frame = pd.DataFrame(domain.rows(inputs), columns=list(known))
    for name, categories in known.items():
        if categories is not None:
            frame[name] = pd.Categorical(frame[name], categories=list(categories))
    return frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of model.

    Attributes:
        name: in what is stored.
        title: in messages, with its article.
        package: imported for it.
        extra: of pyproject.toml that installs the package.
        endings: of its files.
        owns: whether a model in memory is of this kind; imports nothing.
        pack: a model's bytes, the same for the same model.
        unpack: the model of such bytes; the second argument says whether their owner trusts them to run code.
        answer: asks a model.
    """

    name: str
    title: str
    package: str
    extra: str
    endings: tuple[str, ...]
    owns: Callable[[Any], bool]
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes, bool], Any]
    answer: Callable[[Any, Given], Said]

    def check_installed(self) -> None:
        """Raise ConfigurationError unless its library is installed."""
        try:
            importlib.import_module(self.package)
        except ImportError:
            raise ConfigurationError(
                f"{self.title} needs the package {self.package}: pip install 'metav-audit[{self.extra}]' brings it"
            ) from None


def made_by(*packages: str) -> Callable[[Any], bool]:
    """Return whether a model's class, or one that it is made from, stands in one of these packages."""

    def owns(model: Any) -> bool:
        return any(each.__module__.partition(".")[0] in packages for each in type(model).__mro__)

    return owns
