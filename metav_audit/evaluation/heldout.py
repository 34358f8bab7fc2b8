"""Held-out evaluation: what a method says of a family of copies, or of an architecture, that its zoo never held.

In a zoo's own families most methods shine; only held-out figures tell them apart (QuRD, AAAI 2025). Nothing is trained
for it: fit and calibration do without some of the zoo's models, and test models of that sort are scored.

- A *family* is left out with its twins. Tested are its derived models, against all independents of the test split: its
  twins, made the same way from independent models, and the others.
- An *architecture* is left out with all independents that have it and all derived models that were given it by a thief;
  where it is the target's own, derived models stay. Tested are the independents that have it: how many are called a
  match? All derived models are tested too, for an AUC.
- *Data* are left out with all independents that were trained on them: the owner's own, or others. Tested are the
  independents trained on them, as with an architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np

from metav_audit.bundle import ModelCard
from metav_audit.evaluation.conditions import USUAL, Condition, check_conditions
from metav_audit.evaluation.run import keep_bundle, open_evaluation, score_test_split
from metav_audit.evaluation.scores import TestScores
from metav_audit.progress import Progress, silent
from metav_audit.zoo.plan import TARGET, Split
from metav_audit.zoo.project import Project
from metav_audit.zoo.surrogates import Surrogate, SurrogateZoo


class HeldOut(StrEnum):
    """What is left out, one after the other."""

    FAMILY = "family"
    ARCHITECTURE = "architecture"
    DATA = "data"


def evaluate_held_out(
    project: Project,
    methods: Sequence[str],
    what: HeldOut,
    conditions: Sequence[Condition] = (USUAL,),
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[TestScores]:
    """Fit without one family or architecture after the other, and score what was left out.

    Bundles are kept beside the project, so that an interrupted evaluation goes on where it stopped.

    Args:
        project: the owner's project.
        methods: names of methods.
        what: whether families or architectures are left out.
        conditions: under each of which test models are scored.
        jobs: worker processes for the zoo; all cores by default.
        progress: told of everything that was left out in its turn.

    Raises:
        DataError: the zoo's test split is too small, or nothing is left of a side to fit or calibrate with.
    """
    check_conditions(conditions, project.task)
    workshop, zoo = open_evaluation(project, jobs=jobs)
    names = tuple(_names(zoo, what))
    found: list[TestScores] = []
    for number, name in enumerate(names):
        rest = without(zoo, what, name)
        for condition in conditions:
            for method in methods:
                bundle = keep_bundle(workshop, rest, method, condition, name)
                scored = score_test_split(workshop, zoo, bundle, condition, name)
                found.append(_only(scored, _tested(what, name)))
        progress(number + 1, len(names))
    return found


def _names(zoo: SurrogateZoo, what: HeldOut) -> Iterator[str]:
    """Yield what test models have of it: derived ones their families, independent ones the others; in plan's order."""
    cards = [one.card for one in zoo.select(Split.TEST, derived=what is HeldOut.FAMILY)]
    yield from dict.fromkeys(_TRAITS[what](card) for card in cards)


_TRAITS: dict[HeldOut, Callable[[ModelCard], str]] = {
    HeldOut.FAMILY: lambda card: card.family,
    HeldOut.ARCHITECTURE: lambda card: card.architecture,
    HeldOut.DATA: lambda card: card.data,
}
"""What of a model is left out."""


def without(zoo: SurrogateZoo, what: HeldOut, name: str) -> SurrogateZoo:
    """Return the zoo whose fit and calibration splits know nothing of a family, an architecture or data."""

    def known(one: Surrogate) -> bool:
        card = one.card
        if what is HeldOut.FAMILY:
            return name in one.families
        if what is HeldOut.DATA:
            return card.data == name and not card.derived
        return card.architecture == name and not (card.derived and name == TARGET)

    kept = tuple(one for one in zoo.surrogates if one.plan.split is Split.TEST or not known(one))
    return replace(zoo, surrogates=kept)


def _tested(what: HeldOut, name: str) -> Callable[[ModelCard], bool]:
    if what is HeldOut.FAMILY:
        return lambda card: not card.derived or card.family == name
    return lambda card: card.derived or _TRAITS[what](card) == name


def _only(scored: TestScores, wanted: Callable[[ModelCard], bool]) -> TestScores:
    kept = np.array([wanted(card) for card in scored.models])
    rows = zip(scored.models, scored.outcomes, scored.unguarded, kept, strict=True)
    models, outcomes, unguarded = zip(*(row[:3] for row in rows if row[3]), strict=True)
    return replace(scored, models=models, outcomes=outcomes, unguarded=unguarded, scores=scored.scores[kept])
