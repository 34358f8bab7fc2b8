"""Plans: what the surrogates of a zoo are to be, before any is trained.

A lineage is a set of models that are no independent witnesses of each other: an independent training run and the
models made from it, or one copying of the target and the models made from that. A lineage lies in one split whole.

For each modification of the target there is a *twin*: the same modification of an independent model, so that the
meta-verifier learns lineage and not "has been distilled".
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from metav_audit.errors import ConfigurationError

TARGET = "target"
"""The architecture that stands for the target's own."""


class Split(StrEnum):
    """What a lineage is used for, and only for."""

    FIT = "fit"
    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one surrogate is made.

    Attributes:
        lineage: its lineage's name.
        split: its lineage's split.
        recipe: a name in ``recipes.RECIPES``.
        architecture: a name for ``build_architecture``, or "target".
        data: "train" or "heldout": which of the owner's data its maker had.
        seed: of all its randomness.
        settings: the recipe's settings.
        parent: the model it is made from; None for the target itself, or for a training from scratch.
    """

    lineage: str
    split: Split
    recipe: str
    architecture: str
    data: str
    seed: int
    settings: Mapping[str, float]
    parent: Plan | None = None

    @property
    def derived(self) -> bool:
        """Whether the target is among its ancestors."""
        return self.parent.derived if self.parent else self.recipe != "train"

    @property
    def depth(self) -> int:
        """How many plans must be carried out before this one."""
        return self.parent.depth + 1 if self.parent else 0

    def making(self) -> dict[str, Any]:
        """Describe in JSON types what decides the model's weights; names of lineage and split do not."""
        fields = asdict(self)
        fields.update(settings=dict(self.settings), parent=self.parent.making() if self.parent else None)
        return {name: value for name, value in fields.items() if name not in ("lineage", "split")}


@dataclass(frozen=True, slots=True)
class Preset:
    """How many lineages of each side a zoo has in each split, and the share of independents that get a twin."""

    derived: Mapping[Split, int]
    independent: Mapping[Split, int]
    twins: Mapping[Split, float]


PRESETS = {
    "quick": Preset(
        derived={Split.FIT: 20, Split.CALIBRATION: 40, Split.TEST: 0},
        independent={Split.FIT: 20, Split.CALIBRATION: 40, Split.TEST: 0},
        twins={Split.FIT: 1.0, Split.CALIBRATION: 0.5, Split.TEST: 0.0},
    ),
    "standard": Preset(
        derived={Split.FIT: 40, Split.CALIBRATION: 40, Split.TEST: 36},
        independent={Split.FIT: 40, Split.CALIBRATION: 40, Split.TEST: 28},
        twins={Split.FIT: 1.0, Split.CALIBRATION: 0.5, Split.TEST: 0.5},
    ),
}

DERIVED_RECIPES = (
    "fine-tune-all", "distill-other", "retrain-last", "prune", "distill", "distill-other",
    "fine-tune-last", "prune-tune", "retrain-all", "distill-other",
)  # fmt: skip


def plan_zoo(preset: str, architectures: Sequence[str], seed: int) -> tuple[Plan, ...]:
    """Lay out a whole zoo; the same arguments give the same plans.

    Args:
        preset: "quick" or "standard".
        architectures: names other than the target's own that independents and thieves use.
        seed: of every choice made here and of every model's training.

    Raises:
        ConfigurationError: the preset is unknown, or there is no architecture.
    """
    check_preset(preset)
    if not architectures:
        raise ConfigurationError("the zoo needs at least one architecture besides the target's own")
    sizes = PRESETS[preset]
    plans: list[Plan] = []
    for split in Split:
        plans += itertools.islice(_derived(split, architectures, seed), sizes.derived[split])
        roots = list(itertools.islice(_independent(split, architectures, seed), sizes.independent[split]))
        twins = [_twin(root, number, architectures) for number, root in enumerate(roots)]
        plans += roots + twins[: round(len(roots) * sizes.twins[split])]
    return tuple(plans)


def check_preset(preset: str) -> None:
    """Raise ConfigurationError unless the preset is known."""
    if preset not in PRESETS:
        raise ConfigurationError(f"zoo preset {preset!r} is unknown: use one of {', '.join(PRESETS)}")


def _derived(split: Split, architectures: Sequence[str], seed: int) -> Iterator[Plan]:
    students = itertools.cycle(architectures)
    for number, recipe in enumerate(itertools.cycle(DERIVED_RECIPES)):
        lineage = f"derived-{split}-{number}"
        architecture = next(students) if recipe == "distill-other" else TARGET
        yield _modified(lineage, split, recipe, architecture, _seed(seed, lineage), None)


def _independent(split: Split, architectures: Sequence[str], seed: int) -> Iterator[Plan]:
    # Every second independent has the target's own architecture: those are the hard ones.
    cycle = itertools.cycle(name for other in architectures for name in (TARGET, other))
    for number, architecture in enumerate(cycle):
        lineage = f"independent-{split}-{number}"
        own_seed = _seed(seed, lineage)
        settings = _settings("train", np.random.default_rng(own_seed))
        data = "train" if number % 4 < 2 else "heldout"
        yield Plan(lineage, split, "train", architecture, data, own_seed, settings)


def _twin(root: Plan, number: int, architectures: Sequence[str]) -> Plan:
    recipe = DERIVED_RECIPES[number % len(DERIVED_RECIPES)]
    others = [name for name in (TARGET, *architectures) if name != root.architecture]
    architecture = others[number % len(others)] if recipe == "distill-other" else root.architecture
    return _modified(root.lineage, root.split, recipe, architecture, _seed(root.seed, "twin"), root)


def _modified(lineage: str, split: Split, recipe: str, architecture: str, seed: int, parent: Plan | None) -> Plan:
    settings = _settings(recipe, np.random.default_rng(seed))
    name = "distill" if recipe == "distill-other" else recipe
    return Plan(lineage, split, name, architecture, "heldout", seed, settings, parent)


def _settings(recipe: str, rng: np.random.Generator) -> dict[str, float]:
    """Draw a maker's habits: how long, how fast, on how much of the data, how hard."""
    settings: dict[str, float] = {}
    if recipe.startswith("prune"):
        # Six digits, so that no two lineages are pruned alike: pruning has no other chance in it.
        settings["ratio"] = round(float(rng.uniform(0.2, 0.6)), 6)
    if recipe.startswith("distill"):
        settings["temperature"] = round(float(rng.uniform(1.0, 4.0)), 2)
    if recipe in _HABITS:
        (shortest, longest), (slowest, fastest) = _HABITS[recipe]
        settings["epochs"] = int(rng.integers(shortest, longest))
        settings["rate"] = round(float(10 ** rng.uniform(slowest, fastest)), 5)
        settings["share"] = round(float(rng.uniform(0.6, 1.0)), 3)
    return settings


_FROM_SCRATCH = (-2.4, -2.0)
_TUNING = (-3.5, -2.7)
_HABITS = {
    "train": ((20, 35), _FROM_SCRATCH),
    "distill": ((35, 55), _FROM_SCRATCH),
    "distill-other": ((35, 55), _FROM_SCRATCH),
    "retrain-last": ((15, 30), (-2.3, -1.8)),
    "retrain-all": ((10, 20), (-2.8, -2.3)),
    "fine-tune-last": ((5, 15), _TUNING),
    "fine-tune-all": ((5, 15), _TUNING),
    "prune-tune": ((5, 15), _TUNING),
}
"""Ranges of epochs, and of the common logarithm of Adam's rate."""


def _seed(*parts: object) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big")
