"""What a bundle remembers of its models, and the error rates that it promises."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from metav_audit.errors import ConfigurationError
from metav_audit.task import FloatArray

OWN_ARCHITECTURE = "target"
"""The architecture on a card that stands for the target's own."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One held-out model of the zoo, as the bundle remembers it.

    Attributes:
        lineage: models that share it are no independent witnesses and count once.
        derived: whether it is derived from the target.
        recipe: how it was made.
        architecture: its architecture's name, or ``OWN_ARCHITECTURE``.
        data: what it was trained on, "train" (the owner's) or "heldout".
        performance: its own performance at the task; see ``training.performance``.
        family: of its recipe; what is left out together when it is measured what families unknown to a zoo do.
        twin_of: the recipe that it is the twin of, the same modification of an independent model; None for others.
        of_ancestor: whether the public model that the target was tuned from is among its own ancestors otherwise than
            through the target.
    """

    lineage: str
    derived: bool
    recipe: str
    architecture: str
    data: str
    performance: float
    family: str
    twin_of: str | None = None
    of_ancestor: bool = False

    def to_json(self) -> dict[str, Any]:
        """Describe the card in JSON types; without an ancestor there is no such field."""
        told = asdict(self)
        return told if self.of_ancestor else {name: each for name, each in told.items() if name != "of_ancestor"}


@dataclass(frozen=True, slots=True)
class Calibration:
    """The answers of held-out models to the fingerprint; scores follow from them under any mask.

    Attributes:
        features: canonical features, float32 of shape (M, N, D).
        models: one card a model, in the same order.
    """

    features: FloatArray
    models: tuple[ModelCard, ...]


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """The error rates that a verdict promises.

    Attributes:
        false_match: the share of independent models that may be called a match, in (0, 1).
        false_no_match: the share of derived models that may be called no match, in (0, 1).
    """

    false_match: float
    false_no_match: float

    def __post_init__(self) -> None:
        if not (0 < self.false_match < 1 and 0 < self.false_no_match < 1):
            raise ConfigurationError("an error rate lies between 0 and 1, both excluded")
