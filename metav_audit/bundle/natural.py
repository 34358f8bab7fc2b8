"""Natural inputs: a few of the task's own, which tell whether the endpoint was asked rightly, and near-duplicates.

The owner chose them where the target and its zoo agree, and left with them what the target itself answers where such
inputs reach it wrongly. So the auditor, without the model, can tell a wrong request from another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from metav_audit.errors import BundleError
from metav_audit.task import FloatArray, Inputs, TaskSpec

SOURCES = {
    "validation": "of the owner's validation data",
    "public": "of public data that the owner named",
    "synthetic": "made up by the owner, with the target's own labels",
}
"""Where natural inputs come from, and how that is said."""

_PREFIX = "natural."


@dataclass(frozen=True, slots=True)
class NaturalInputs:
    """K natural inputs of a bundle with N queries, and N + K near-duplicates.

    Attributes:
        source: one of ``SOURCES``.
        inputs: float32 of shape (K, *domain.shape), valid in the domain.
        reference: the target's own canonical features on them, float32 of shape (K, D): the right answers.
        models: those of the calibration's first M models, those that can be asked, float32 of shape (M, K, D).
        misreadings: W ways to read such inputs or their answers wrongly, in words.
        misread: the target's features on queries and natural inputs where they are read so, float32 of shape
            (W, N + K, D).
        twins: a near-duplicate of each query and then of each natural input, one step of one element apart, float32
            of shape (N + K, *domain.shape).
        apart: how far the answers of any model of the calibration to a twin lie at most from those to its like, in the
            space's unit, float32 of shape (N + K,).
    """

    source: str
    inputs: Inputs
    reference: FloatArray
    models: FloatArray
    misreadings: tuple[str, ...]
    misread: FloatArray
    twins: Inputs
    apart: FloatArray

    def check(self, task: TaskSpec, queries: int, models: int) -> None:
        """Raise BundleError unless the parts fit each other and a bundle with so many queries and models."""
        if self.source not in SOURCES:
            raise BundleError(f"the natural inputs' source is {self.source[:40]!r}: it is one of {', '.join(SOURCES)}")
        count, width = len(self.inputs), task.output.size
        expected = {
            "inputs": (count, *task.domain.shape),
            "reference": (count, width),
            "models": (min(len(self.models), models), count, width),
            "misread": (len(self.misreadings), queries + count, width),
            "twins": (queries + count, *task.domain.shape),
            "apart": (queries + count,),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if count == 0 or array.shape != shape or not np.isfinite(array).all():
                raise BundleError(f"bundle part {_PREFIX}{name} is not of shape {shape}, and finite: it is damaged")
        for name in ("inputs", "twins"):
            if not np.array_equal(task.domain.project(getattr(self, name)), getattr(self, name)):
                raise BundleError(f"one of {_PREFIX}{name} is not valid in the input domain: fit the bundle again")

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of them, in JSON types."""
        return {"source": self.source, "misreadings": list(self.misreadings)}

    def tensors(self) -> dict[str, FloatArray]:
        """Return the arrays by their names in a bundle."""
        names = ("inputs", "reference", "models", "misread", "twins", "apart")
        return {f"{_PREFIX}{name}": getattr(self, name) for name in names}

    @classmethod
    def read(cls, stated: Mapping[str, Any], tensors: Mapping[str, FloatArray]) -> Self:
        """Read what ``stated`` and ``tensors`` wrote.

        Raises:
            KeyError, TypeError: a part is missing or misstated.
        """
        arrays = {name.removeprefix(_PREFIX): array for name, array in tensors.items() if name.startswith(_PREFIX)}
        return cls(str(stated["source"]), misreadings=tuple(map(str, stated["misreadings"])), **arrays)
