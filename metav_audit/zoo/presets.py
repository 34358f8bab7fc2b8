"""Presets: how large a zoo is, what is in it, and the plans that follow."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metav_audit.bundle import ErrorRates
from metav_audit.config import nearest
from metav_audit.errors import ConfigurationError
from metav_audit.task import OutputKind
from metav_audit.zoo.plan import TARGET, USUAL_RATES, Plan, Split
from metav_audit.zoo.recipes.base import Recipe
from metav_audit.zoo.recipes.registry import RECIPES

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


OPAQUE_RECIPES = (
    "boost-on", "learn-scores-other", "learn-labels-other", "round-scores", "learn-scores", "learn-labels-other",
    "recalibrate", "learn-scores-other", "mix-in", "learn-labels",
)  # fmt: skip
"""Those that need no gradients, for targets that have none."""


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


def plan_zoo(
    preset: str,
    architectures: Sequence[str],
    seed: int,
    kind: OutputKind = OutputKind.CLASSIFICATION,
    rates: ErrorRates = USUAL_RATES,
    *,
    ancestor: str | None = None,
    opaque: bool = False,
    share: float = 1.0,
) -> tuple[Plan, ...]:
    """Lay out a whole zoo; the same arguments give the same plans.

    Args:
        preset: a name in ``PRESETS``.
        architectures: names other than the target's own that independents and thieves use.
        seed: of every choice made here and of every model's training.
        kind: of the task, which not every recipe suits.
        rates: that verdicts will promise; the calibration split is made large enough for them.
        ancestor: the SHA-256 of the weights that the target was tuned from: then further lineages start from them.
        opaque: whether the target gives no gradients: then the preset's sizes are filled by recipes that need none.
        share: of the preset's lineages of each split; the calibration keeps what the rates need.

    Raises:
        ConfigurationError: the preset is unknown, or there is no architecture, or it needs gradients that are none.
    """
    check_preset(preset)
    if not architectures:
        raise ConfigurationError("the zoo needs at least one architecture besides the target's own")
    sizes = _without_gradients(preset) if opaque else PRESETS[preset]
    sizes = replace(sizes, recipes=tuple(name for name in sizes.recipes if kind in _entry(name)[0].suits))
    # A kind that lacks a way to train from scratch goes without its turns.
    usual = tuple(name for name in sizes.roots if kind in RECIPES[name].suits)
    sizes = replace(sizes, roots=sizes.roots if len(usual) == len(sizes.roots) else tuple(dict.fromkeys(usual)))
    sizes = replace(
        sizes,
        derived=_enough(_shared(sizes.derived, share), rates.false_no_match),
        independent=_enough(_shared(sizes.independent, share), rates.false_match),
    )
    plans: list[Plan] = []
    for split in Split:
        derived = itertools.islice(_derived(split, sizes, architectures, seed), sizes.derived[split])
        roots = list(itertools.islice(_independent(split, sizes, architectures, seed), sizes.independent[split]))
        twins = [_twin(root, number, sizes.recipes, architectures) for number, root in enumerate(roots)]
        plans += [*itertools.chain.from_iterable(derived), *roots]
        plans += itertools.chain.from_iterable(twins[: round(len(roots) * sizes.twins[split])])
        if ancestor is not None:
            plans += _kin(split, sizes, architectures, seed, ancestor, rates.false_match)
    return tuple(plans + [early for plan in plans for early in _checkpoints(plan, sizes.checkpoints)])


def split_sizes(plans: Iterable[Plan]) -> dict[bool, dict[Split, int]]:
    """Count the derived (True) and the independent lineages of each split."""
    lineages = {(plan.derived, plan.split, plan.lineage) for plan in plans}
    return {
        side: {split: sum(key[:2] == (side, split) for key in lineages) for split in Split} for side in (True, False)
    }


def _without_gradients(preset: str) -> Preset:
    """Return a preset's sizes with recipes that need no gradients."""
    if PRESETS[preset].checkpoints:
        raise ConfigurationError(
            f'preset = "{preset}" takes checkpoints of trainings by gradients, which such a target has not: write '
            '"quick", "standard" or "full"'
        )
    return replace(PRESETS[preset], recipes=OPAQUE_RECIPES, roots=("refit",))


def _shared(lineages: Mapping[Split, int], share: float) -> Mapping[Split, int]:
    """Return a share of the lineages of each split, rounded up."""
    return {split: math.ceil(share * count - 1e-9) for split, count in lineages.items()}


def _enough(lineages: Mapping[Split, int], rate: float) -> Mapping[Split, int]:
    """Return sizes whose calibration can bear a promised rate: with n lineages no p-value is below 1 / (n + 1)."""
    size = lineages[Split.CALIBRATION]
    # Where a preset has too few there are a fifth more than needed, since some may turn out useless.
    return {**lineages, Split.CALIBRATION: size if (size + 1) * rate >= 1 else math.ceil(1.2 / rate)}


def check_preset(preset: str) -> None:
    """Raise ConfigurationError unless the preset is known."""
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise ConfigurationError(f"zoo preset {preset!r} is unknown: use one of {known}{nearest(preset, PRESETS)}")


def _derived(split: Split, preset: Preset, architectures: Sequence[str], seed: int) -> Iterator[tuple[Plan, ...]]:
    """Yield lineages without end, each with all its members."""
    students = itertools.cycle(architectures)
    for number, recipe in enumerate(itertools.cycle(preset.recipes)):
        lineage = f"derived-{split}-{number}"
        architecture = next(students) if _entry(recipe)[1] else TARGET
        yield _made(lineage, split, recipe, architecture, _seed(seed, lineage), None)


def _independent(split: Split, preset: Preset, architectures: Sequence[str], seed: int) -> Iterator[Plan]:
    # Every second independent has the target's own architecture: those are the hard ones.
    cycle = itertools.cycle(name for other in architectures for name in (TARGET, other))
    for number, architecture in enumerate(cycle):
        lineage = f"independent-{split}-{number}"
        own_seed = _seed(seed, lineage)
        recipe = preset.roots[number % len(preset.roots)]
        root = RECIPES[recipe]
        settings = root.settings(np.random.default_rng(own_seed))
        data = "train" if number % 4 < 2 else "heldout"
        yield Plan(lineage, split, recipe, architecture, data, own_seed, settings, None, root.from_scratch, root.family)


def _twin(root: Plan, number: int, recipes: Sequence[str], architectures: Sequence[str]) -> tuple[Plan, ...]:
    recipe = recipes[number % len(recipes)]
    others = [name for name in (TARGET, *architectures) if name != root.architecture]
    architecture = others[number % len(others)] if _entry(recipe)[1] else root.architecture
    return _made(root.lineage, root.split, recipe, architecture, _seed(root.seed, "twin"), root)


OF_ANCESTOR = "tune-ancestor"
"""How independents start from the ancestor."""
_STUDENTS = ("distill", "extract-hard")
"""How thieves steal who start from the ancestor."""
_STARTS_FRESH = (*_STUDENTS, "distill-adversarial", "extract-ood")


def _kin(
    split: Split, sizes: Preset, architectures: Sequence[str], seed: int, ancestor: str, rate: float
) -> Iterator[Plan]:
    """Yield what starts from the target's ancestor: half as many independents as from random weights, and thieves.

    The calibration has so many of these independents that a promise holds among them alone.
    """
    count = (sizes.independent[split] + 1) // 2
    if split is Split.CALIBRATION:
        count = max(count, math.ceil(1.2 / rate))
    recipe = RECIPES[OF_ANCESTOR]
    for number in range(count):
        lineage = f"kin-{split}-{number}"
        own_seed = _seed(seed, lineage)
        settings, data = recipe.settings(np.random.default_rng(own_seed)), ("train", "heldout")[number % 2]
        root = Plan(
            lineage, split, recipe.name, TARGET, data, own_seed, settings, None, recipe.from_scratch, recipe.family,
            ancestor,
        )  # fmt: skip
        yield root
        if number < round(count * sizes.twins[split]):
            yield from (_started(plan, ancestor) for plan in _twin(root, number, sizes.recipes, architectures))
    students = [name for name in _STUDENTS if name in sizes.recipes]
    for number, name in zip(range(math.ceil(sizes.derived[split] / 4)), itertools.cycle(students), strict=False):
        lineage = f"kin-derived-{split}-{number}"
        plan = _modified(lineage, split, RECIPES[name], TARGET, _seed(seed, lineage), None)
        yield _started(plan, ancestor)


def _started(plan: Plan, ancestor: str) -> Plan:
    """Let a student of the target's own architecture start from the ancestor."""
    starts = plan.recipe in _STARTS_FRESH and plan.architecture == TARGET
    return replace(plan, ancestor=ancestor) if starts else plan


_DESCENDANTS = ("fine-tune-all", "prune-tune", "distill", "retrain-last")
_DESCEND, _OTHER = "descend", "-other"


def _entry(name: str) -> tuple[Recipe, bool]:
    """Return the recipe that a preset's entry names, and whether the model gets another architecture than its parent.

    "descend" begins with a student of another architecture; what is made from that follows.
    """
    recipe = RECIPES["distill" if name == _DESCEND else name.removesuffix(_OTHER)]
    return recipe, recipe.other_architecture or name.endswith(_OTHER)


def _made(lineage: str, split: Split, name: str, architecture: str, seed: int, parent: Plan | None) -> tuple[Plan, ...]:
    """Return the plan of one entry; of a descendant that of its parent, too."""
    if name != _DESCEND:
        return (_modified(lineage, split, _entry(name)[0], architecture, seed, parent),)
    between = _modified(lineage, split, RECIPES["distill"], architecture, _seed(seed, "between"), parent)
    then = RECIPES[_DESCENDANTS[seed % len(_DESCENDANTS)]]
    return between, _modified(lineage, split, then, architecture, seed, between)


def _modified(lineage: str, split: Split, recipe: Recipe, architecture: str, seed: int, parent: Plan | None) -> Plan:
    settings = recipe.settings(np.random.default_rng(seed))
    return Plan(lineage, split, recipe.name, architecture, "heldout", seed, settings, parent, family=recipe.family)


def _checkpoints(plan: Plan, stops: Sequence[float]) -> Iterator[Plan]:
    """Yield what a training of the fit split was on its way; no measurement is made on such."""
    if plan.split is Split.FIT and "epochs" in plan.settings:
        for stop in stops:
            yield replace(plan, settings={**plan.settings, "stop": stop})


def _seed(*parts: object) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big")
