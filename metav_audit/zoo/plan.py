"""Plans: what the surrogates of a zoo are to be, before any is trained.

A lineage is a set of models that are no independent witnesses of each other: an independent training run and the
models made from it, or one copying of the target and the models made from that. A lineage lies in one split whole.

For each modification of the target there is a *twin*: the same modification of an independent model, so that the
meta-verifier learns lineage and not "has been distilled".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from metav_audit.bundle import OWN_ARCHITECTURE, ErrorRates

TARGET = OWN_ARCHITECTURE
"""The architecture that stands for the target's own."""

USUAL_RATES = ErrorRates(false_match=0.05, false_no_match=0.05)
"""What verdicts promise where a project says nothing else."""


class Split(StrEnum):
    """What a lineage is used for, and only for."""

    FIT = "fit"
    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Own:
    """A surrogate that the owner trained elsewhere: its content, and whether its answers alone are at hand."""

    sha256: str
    answers_only: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How one surrogate is made.

    Attributes:
        lineage: its lineage's name.
        split: its lineage's split.
        recipe: a name in ``recipes.registry.RECIPES``.
        architecture: a name for ``build_architecture``, or "target".
        data: "train" or "heldout": which of the owner's data its maker had.
        seed: of all its randomness.
        settings: the recipe's settings.
        parent: the model it is made from; None where that is the target itself, or for a training from scratch.
        from_scratch: whether it starts from no other model's weights or answers, a public ancestor's aside.
        family: its recipe's.
        ancestor: the SHA-256 of the ancestor's weights that it starts from; None for random ones, or a parent's.
        own: the model itself, where it was trained elsewhere and is not made here.
    """

    lineage: str
    split: Split
    recipe: str
    architecture: str
    data: str
    seed: int
    settings: Mapping[str, float]
    parent: Plan | None = None
    from_scratch: bool = False
    family: str = ""
    ancestor: str | None = None
    own: Own | None = None

    @property
    def derived(self) -> bool:
        """Whether the target is among its ancestors."""
        return self.parent.derived if self.parent else not self.from_scratch

    @property
    def of_ancestor(self) -> bool:
        """Whether the target's ancestor, not through the target, is among its own."""
        return self.ancestor is not None or (self.parent is not None and self.parent.of_ancestor)

    @property
    def answers_only(self) -> bool:
        """Whether it answers nothing but what it was asked elsewhere."""
        return self.own is not None and self.own.answers_only

    @property
    def depth(self) -> int:
        """How many plans must be carried out before this one."""
        return self.parent.depth + 1 if self.parent else 0

    def making(self) -> dict[str, Any]:
        """Describe in JSON types what decides the model's weights; names of lineage and split do not."""
        return {
            "recipe": self.recipe,
            "architecture": self.architecture,
            "data": self.data,
            "seed": self.seed,
            "settings": dict(self.settings),
            "parent": self.parent.making() if self.parent else None,
            **({"ancestor": self.ancestor} if self.ancestor else {}),
            **({"own": self.own.sha256} if self.own else {}),
        }
