"""Plans: what the surrogates of a zoo are to be, before any is trained.

A lineage is a set of models that are no independent witnesses of each other: an independent training run and the
models made from it, or one copying of the target and the models made from that. A lineage lies in one split whole.

For each modification of the target there is a *twin*: the same modification of an independent model, so that the
meta-verifier learns lineage and not "has been distilled".
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from metav_audit.bundle import OWN_ARCHITECTURE, ErrorRates
from metav_audit.errors import ConfigurationError
from metav_audit.task import OutputKind

TARGET = OWN_ARCHITECTURE
"""The architecture that stands for the target's own."""

USUAL_RATES = ErrorRates(false_match=0.05, false_no_match=0.05)
"""What verdicts promise where a project says nothing else."""

FROM_SCRATCH = ("train", "adversarial-train")
"""Recipes that start from no other model's weights or answers."""


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
        parent: the model it is made from; None where that is the target itself, or for a training from scratch.
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
        return self.parent.derived if self.parent else self.recipe not in FROM_SCRATCH

    @property
    def depth(self) -> int:
        """How many plans must be carried out before this one."""
        return self.parent.depth + 1 if self.parent else 0

    def making(self) -> dict[str, Any]:
        """Describe in JSON types what decides the model's weights; names of lineage and split do not."""
        fields = asdict(self)
        fields.update(settings=dict(self.settings), parent=self.parent.making() if self.parent else None)
        return {name: value for name, value in fields.items() if name not in ("lineage", "split")}


DERIVED_RECIPES = (
    "fine-tune-all", "distill-other", "retrain-last", "prune", "distill", "distill-other",
    "fine-tune-last", "prune-tune", "retrain-all", "distill-other",
)  # fmt: skip
ALL_RECIPES = (
    "fine-tune-all", "distill-other", "extract-hard", "prune-tune", "filter-prune", "distill", "quantise",
    "extract-ood", "fine-tune-last", "noise", "adversarial-tune", "descend", "retrain-all", "distill-adversarial",
    "average", "retrain-last", "extract-hard-other", "prune", "removal",
)  # fmt: skip
"""All of them. "descend" is a distillate of another architecture and a model made from that."""


@dataclass(frozen=True, slots=True)
class Preset:
    """How large a zoo is, and what is in it.

    Attributes:
        derived: derived lineages of each split.
        independent: independent lineages of each split.
        twins: the share of independents of each split that get a twin.
        recipes: how derived lineages are made, in turns, and twins.
        roots: how independents are trained, in turns.
        checkpoints: shares of a training after which the fit split also holds what there was by then.
    """

    derived: Mapping[Split, int]
    independent: Mapping[Split, int]
    twins: Mapping[Split, float]
    recipes: tuple[str, ...] = DERIVED_RECIPES
    roots: tuple[str, ...] = ("train",)
    checkpoints: tuple[float, ...] = ()


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
    "full": Preset(
        derived={Split.FIT: 57, Split.CALIBRATION: 57, Split.TEST: 57},
        independent={Split.FIT: 48, Split.CALIBRATION: 48, Split.TEST: 36},
        twins={Split.FIT: 1.0, Split.CALIBRATION: 0.5, Split.TEST: 0.5},
        recipes=ALL_RECIPES,
        # Seven, so that each adversarially trained one has another architecture and other data than the one before.
        roots=("train", "train", "train", "train", "train", "train", "adversarial-train"),
    ),
    "scarce": Preset(
        derived={Split.FIT: 1, Split.CALIBRATION: 40, Split.TEST: 36},
        independent={Split.FIT: 1, Split.CALIBRATION: 40, Split.TEST: 28},
        twins={Split.FIT: 0.0, Split.CALIBRATION: 0.5, Split.TEST: 0.5},
        checkpoints=(0.35, 0.45, 0.55, 0.65, 0.75, 0.85),
    ),
}


_BY_LABELS = {"extract-hard", "extract-hard-other", "removal"}
_ADVERSE = {"adversarial-tune", "distill-adversarial"}
MISSING = {
    OutputKind.CLASSIFICATION: set[str](),
    OutputKind.REGRESSION: _BY_LABELS,
    OutputKind.GENERATION: _BY_LABELS | _ADVERSE,
}
"""Recipes that make no sense for a kind of output: those that need labels, and adversarial inputs to a generator."""


def plan_zoo(
    preset: str,
    architectures: Sequence[str],
    seed: int,
    kind: OutputKind = OutputKind.CLASSIFICATION,
    rates: ErrorRates = USUAL_RATES,
) -> tuple[Plan, ...]:
    """Lay out a whole zoo; the same arguments give the same plans.

    Args:
        preset: a name in ``PRESETS``.
        architectures: names other than the target's own that independents and thieves use.
        seed: of every choice made here and of every model's training.
        kind: of the task, which not every recipe suits.
        rates: that verdicts will promise; the calibration split is made large enough for them.

    Raises:
        ConfigurationError: the preset is unknown, or there is no architecture.
    """
    check_preset(preset)
    if not architectures:
        raise ConfigurationError("the zoo needs at least one architecture besides the target's own")
    sizes = PRESETS[preset]
    sizes = replace(sizes, recipes=tuple(recipe for recipe in sizes.recipes if recipe not in MISSING[kind]))
    if kind is OutputKind.GENERATION:
        sizes = replace(sizes, roots=("train",))
    sizes = replace(
        sizes,
        derived=_enough(sizes.derived, rates.false_no_match),
        independent=_enough(sizes.independent, rates.false_match),
    )
    plans: list[Plan] = []
    for split in Split:
        derived = itertools.islice(_derived(split, sizes, architectures, seed), sizes.derived[split])
        roots = list(itertools.islice(_independent(split, sizes, architectures, seed), sizes.independent[split]))
        twins = [_twin(root, number, sizes.recipes, architectures) for number, root in enumerate(roots)]
        plans += [*itertools.chain.from_iterable(derived), *roots]
        plans += itertools.chain.from_iterable(twins[: round(len(roots) * sizes.twins[split])])
    return tuple(plans + [early for plan in plans for early in _checkpoints(plan, sizes.checkpoints)])


def _enough(lineages: Mapping[Split, int], rate: float) -> Mapping[Split, int]:
    """Return sizes whose calibration can bear a promised rate: with n lineages no p-value is below 1 / (n + 1)."""
    size = lineages[Split.CALIBRATION]
    # Where a preset has too few there are a fifth more than needed, since some may turn out useless.
    return {**lineages, Split.CALIBRATION: size if (size + 1) * rate >= 1 else math.ceil(1.2 / rate)}


def check_preset(preset: str) -> None:
    """Raise ConfigurationError unless the preset is known."""
    if preset not in PRESETS:
        raise ConfigurationError(f"zoo preset {preset!r} is unknown: use one of {', '.join(PRESETS)}")


def _derived(split: Split, preset: Preset, architectures: Sequence[str], seed: int) -> Iterator[tuple[Plan, ...]]:
    """Yield lineages without end, each with all its members."""
    students = itertools.cycle(architectures)
    for number, recipe in enumerate(itertools.cycle(preset.recipes)):
        lineage = f"derived-{split}-{number}"
        architecture = next(students) if recipe in _OTHERS else TARGET
        yield _made(lineage, split, recipe, architecture, _seed(seed, lineage), None)


def _independent(split: Split, preset: Preset, architectures: Sequence[str], seed: int) -> Iterator[Plan]:
    # Every second independent has the target's own architecture: those are the hard ones.
    cycle = itertools.cycle(name for other in architectures for name in (TARGET, other))
    for number, architecture in enumerate(cycle):
        lineage = f"independent-{split}-{number}"
        own_seed = _seed(seed, lineage)
        recipe = preset.roots[number % len(preset.roots)]
        settings = _settings(recipe, np.random.default_rng(own_seed))
        data = "train" if number % 4 < 2 else "heldout"
        yield Plan(lineage, split, recipe, architecture, data, own_seed, settings)


def _twin(root: Plan, number: int, recipes: Sequence[str], architectures: Sequence[str]) -> tuple[Plan, ...]:
    recipe = recipes[number % len(recipes)]
    others = [name for name in (TARGET, *architectures) if name != root.architecture]
    architecture = others[number % len(others)] if recipe in _OTHERS else root.architecture
    return _made(root.lineage, root.split, recipe, architecture, _seed(root.seed, "twin"), root)


_OTHERS = {"distill-other": "distill", "extract-hard-other": "extract-hard", "extract-ood": "extract-ood"}
"""Recipes whose student has another architecture than its teacher, and what the plan calls them."""
_DESCENDANTS = ("fine-tune-all", "prune-tune", "distill", "retrain-last")


def _made(
    lineage: str, split: Split, recipe: str, architecture: str, seed: int, parent: Plan | None
) -> tuple[Plan, ...]:
    """Return the plan of one recipe; of a descendant that of its parent, too."""
    if recipe != "descend":
        return (_modified(lineage, split, recipe, architecture, seed, parent),)
    between = _modified(lineage, split, "distill", architecture, _seed(seed, "between"), parent)
    then = _DESCENDANTS[seed % len(_DESCENDANTS)]
    return between, _modified(lineage, split, then, architecture, seed, between)


def _modified(lineage: str, split: Split, recipe: str, architecture: str, seed: int, parent: Plan | None) -> Plan:
    settings = _settings(recipe, np.random.default_rng(seed))
    return Plan(lineage, split, _OTHERS.get(recipe, recipe), architecture, "heldout", seed, settings, parent)


def _settings(recipe: str, rng: np.random.Generator) -> dict[str, float]:
    """Draw a maker's habits: how long, how fast, on how much of the data, how hard."""
    settings: dict[str, float] = {}
    if recipe.startswith("prune"):
        # Six digits, so that no two lineages are pruned alike: pruning has no other chance in it.
        settings["ratio"] = round(float(rng.uniform(0.2, 0.6)), 6)
    if recipe.startswith("distill"):
        settings["temperature"] = round(float(rng.uniform(1.0, 4.0)), 2)
    for name, (low, high) in _FURTHER.get(recipe, {}).items():
        settings[name] = round(float(rng.uniform(low, high)), 6)
    if recipe in _HABITS:
        (shortest, longest), (slowest, fastest) = _HABITS[recipe]
        settings["epochs"] = int(rng.integers(shortest, longest))
        settings["rate"] = round(float(10 ** rng.uniform(slowest, fastest)), 5)
        settings["share"] = round(float(rng.uniform(0.6, 1.0)), 3)
    return settings


_ADVERSARIAL = {"strength": (0.02, 0.1)}
_FURTHER: dict[str, dict[str, tuple[float, float]]] = {
    "filter-prune": {"ratio": (0.1, 0.4)},
    "quantise": {"bits": (4, 9)},
    "noise": {"strength": (0.02, 0.15)},
    "removal": {"steps": (300, 800), "rate": (0.005, 0.02), "share": (0.6, 1.0)},
    "average": {"share_of_parent": (0.3, 0.7)},
    "extract-hard": {"blends": (0, 2)},
    "extract-hard-other": {"blends": (0, 2)},
    "adversarial-train": _ADVERSARIAL,
    "adversarial-tune": _ADVERSARIAL,
    "distill-adversarial": _ADVERSARIAL,
}
"""Ranges of what else a maker chooses; see ``recipes``."""
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
    "adversarial-train": ((15, 25), _FROM_SCRATCH),
    "distill-adversarial": ((20, 30), _FROM_SCRATCH),
    "extract-hard": ((20, 35), _FROM_SCRATCH),
    "extract-hard-other": ((20, 35), _FROM_SCRATCH),
    "extract-ood": ((35, 55), _FROM_SCRATCH),
    "filter-prune": ((5, 15), _TUNING),
    "average": ((5, 15), _TUNING),
    "adversarial-tune": ((5, 15), _TUNING),
}
"""Ranges of epochs, and of the common logarithm of Adam's rate."""


def _checkpoints(plan: Plan, stops: Sequence[float]) -> Iterator[Plan]:
    """Yield what a training of the fit split was on its way; no measurement is made on such."""
    if plan.split is Split.FIT and "epochs" in plan.settings:
        for stop in stops:
            yield replace(plan, settings={**plan.settings, "stop": stop})


def _seed(*parts: object) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big")
