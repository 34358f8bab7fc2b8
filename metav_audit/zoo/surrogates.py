"""Surrogates and the zoo they form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metav_audit.bundle import ModelCard
from metav_audit.zoo.plan import Plan, Split
from metav_audit.zoo.store import content_address

DESCENDANT = "descendant"
"""The family of copies of copies, whatever their recipes."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """One trained model of the zoo.

    Attributes:
        plan: how it was made.
        address: its content address in the store.
        performance: on the validation data; see ``training.performance``.
    """

    plan: Plan
    address: str
    performance: float

    @property
    def card(self) -> ModelCard:
        """What a bundle remembers of it."""
        plan = self.plan
        recipe, family, twin_of = plan.recipe, plan.family, None
        if plan.parent and plan.derived:
            recipe, family = f"{plan.recipe} of {plan.parent.recipe}", DESCENDANT
        elif plan.parent:
            recipe, twin_of = f"{plan.recipe} of an independent", plan.recipe
        return ModelCard(
            plan.lineage, plan.derived, recipe, plan.architecture, plan.data, self.performance, family, twin_of,
            plan.of_ancestor,
        )  # fmt: skip

    @property
    def families(self) -> frozenset[str]:
        """Its own family, and those of the copies that it was made from."""
        plan = self.plan
        made_from = {plan.parent.family} if plan.parent and plan.derived else set()
        return frozenset({self.card.family, plan.family, *made_from})


@dataclass(frozen=True, slots=True)
class SurrogateZoo:
    """All surrogates of one target.

    Attributes:
        surrogates: those that perform well enough to be deployed by someone.
        target_sha256: the hash of the target's weights.
        left_out: how many were trained and left out, because no one would deploy them.
    """

    surrogates: tuple[Surrogate, ...]
    target_sha256: str
    left_out: int

    def select(self, split: Split, *, derived: bool) -> tuple[Surrogate, ...]:
        """Return the surrogates of one split and side."""
        return tuple(one for one in self.surrogates if one.plan.split is split and one.plan.derived is derived)

    def to_json(self) -> dict[str, Any]:
        """Describe the zoo in JSON types."""
        rows = [
            {"address": one.address, "split": one.plan.split.value, **one.card.to_json(), "seed": one.plan.seed,
             "settings": dict(one.plan.settings)}
            for one in self.surrogates
        ]  # fmt: skip
        return {"target_sha256": self.target_sha256, "left_out": self.left_out, "surrogates": rows}

    @property
    def sha256(self) -> str:
        """The hash of the zoo's description, which names every model by content."""
        return content_address(self.to_json())
