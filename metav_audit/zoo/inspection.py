"""The owner's model and data looked at before anything is trained: what is odd is said, what makes no sense is refused.

An hour of training tells nothing that a second of looking would not have told: a forgotten normalisation, labels in
another order, held-out data that are the training data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from metav_audit.errors import DataError
from metav_audit.zoo.data import LabelledData, performance_on
from metav_audit.zoo.formats.opaque import answers_anything
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.shown import shown_of

RARE = 5
"""A class with fewer inputs than this on one side is rare there."""

FEW = 100
"""Inputs on one side that are few."""

BELOW = 0.05
"""What a target's figure may lie below what its owner states, beside three standard errors of it."""

SAME = 0.5
"""The share of held-out inputs that stand among the training data from which on the two are not two."""

_SHOWN = 3


@lru_cache(maxsize=4)
def inspect(workshop: Workshop) -> tuple[str, ...]:
    """Look at target and data; return what is to be said of them, warnings among it.

    Raises:
        DataError: the target does not know its own task, or is far below what its owner states; or held-out data are
            the training data.
    """
    return (*_figures(workshop), *_counts(workshop), *_duplicates(workshop))


def _figures(workshop: Workshop) -> Iterator[str]:
    target, data, output = workshop.target, workshop.data, trained(workshop.target.task.output)
    own = performance_on(data.validation, target.network, target.task.output)
    if own <= output.guessing:
        raise DataError(
            f"the target {output.figure} {own:.3f} on the validation data, no better than "
            "guessing: check that the order of labels, the inputs' range and the weights are the target's own"
        )
    if output.adversarial:
        yield f"the target {output.figure} {own:.3f} on the validation data"
        return
    seen = data.train if answers_anything(target.network) else shown_of(data, target.task.domain).known
    known = performance_on(seen, target.network, target.task.output)
    right = f" (accuracy {_accuracy(workshop):.3f})" if target.task.output.labelled else ""
    yield f"the target {output.figure} {own:.3f} on the validation data{right}, {known:.3f} on its training data"
    _check_stated(workshop, own)
    if known <= output.guessing:
        raise DataError(
            f"the target {output.figure} {known:.3f} on its own training data, no better than guessing, and {own:.3f} "
            "on the validation data: rows and labels of train are out of step, or it was trained on other data"
        )
    slack = BELOW + 3 * math.sqrt(0.25 / len(data.validation))
    if known < own - slack:
        yield (
            f"warning: the target does worse on train ({known:.3f}) than on the validation data ({own:.3f}): name as "
            "train what it was trained on, or siblings are none"
        )


def _check_stated(workshop: Workshop, r_squared: float) -> None:
    stated = workshop.project.settings.target
    labelled = workshop.target.task.output.labelled
    wanted, found = (stated.accuracy, _accuracy(workshop)) if labelled else (stated.r_squared, r_squared)
    other = stated.r_squared if labelled else stated.accuracy
    if other is not None:
        right, wrong = ("accuracy", "r_squared") if labelled else ("r_squared", "accuracy")
        raise DataError(f"{wrong} is stated of a target that has none: state {right} below [target], or leave it out")
    if wanted is None:
        return
    slack = BELOW + 3 * math.sqrt(max(wanted * (1 - wanted), 0.01) / len(workshop.data.validation))
    if found < wanted - slack:
        what = "accuracy" if labelled else "R²"
        raise DataError(
            f"the target's {what} is {found:.3f} on the validation data, and its owner states {wanted:.3f} below "
            "[target]: a normalisation is missing, labels stand in another order, or the data are others. Mend that "
            "before anything is trained"
        )


def _accuracy(workshop: Workshop) -> float:
    data = workshop.data.validation
    with torch.no_grad():
        said = workshop.target.network(torch.from_numpy(data.inputs)).argmax(dim=1).numpy()
    return float((said == data.labels).mean())


def _sides(workshop: Workshop) -> dict[str, LabelledData]:
    data = workshop.data
    return {"train": data.train, "heldout": data.heldout, "validation": data.validation}


def _counts(workshop: Workshop) -> Iterator[str]:
    space = workshop.target.task.output
    for side, data in _sides(workshop).items():
        if len(data) < FEW:
            yield f"warning: {side} holds {len(data)} inputs: a zoo from so few says little; give {FEW} or more"
        if not space.labelled:
            yield f"{side}: {len(data)} inputs"
            continue
        counts = np.bincount(data.labels, minlength=space.size)
        told = ", ".join(f"{name} {count}" for name, count in zip(space.labels, counts.tolist(), strict=True))
        yield f"{side}: {len(data)} inputs ({told})" if space.size <= 20 else f"{side}: {len(data)} inputs"
        known = zip(space.labels, counts.tolist(), strict=True)
        odd = [f"{name!r} ({count})" for name, count in known if count < RARE]
        if odd:
            yield (
                f"warning: {side} has hardly any of {', '.join(odd[:6])}: models made from it do not know what they "
                "look like; give more of them, or leave the class out of the task"
            )


def _duplicates(workshop: Workshop) -> Iterator[str]:
    if trained(workshop.target.task.output).adversarial:
        return
    sides = {side: _hashes(data.inputs) for side, data in _sides(workshop).items()}
    for one, other in (("heldout", "train"), ("validation", "train"), ("validation", "heldout")):
        places = {value: at for at, value in reversed(list(enumerate(sides[other])))}
        twice = [(at, places[value]) for at, value in enumerate(sides[one]) if value in places]
        if not twice:
            continue
        shown = ", ".join(f"row {at} is {other}'s {place}" for at, place in twice[:_SHOWN])
        # Rows of a few categories are often alike, and no sign of anything.
        if len(twice) > SAME * len(sides[one]) and len(places) > SAME * len(sides[other]):
            raise DataError(
                f"{len(twice)} of {len(sides[one])} inputs of {one} stand in {other}, too ({shown}): what the target "
                "was trained on is not what it is measured by, nor what a thief has. Give data that it never saw"
            )
        yield f"warning: {len(twice)} of {len(sides[one])} inputs of {one} stand in {other}, too ({shown}): drop them"


def _hashes(inputs: NDArray[np.float32]) -> list[bytes]:
    rows = np.ascontiguousarray(inputs.reshape(len(inputs), -1))
    return [row.tobytes() for row in rows]
