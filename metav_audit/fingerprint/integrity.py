"""Queries that react to any change: inputs between classes, chosen by what changed copies of the model make of them.

Where a model can hardly decide, the smallest change shows. Candidates lie on the border between two of its classes
(after "Intersecting-Boundary-Sensitive Fingerprinting", ICML 2024, and "Stricter Black-box Integrity Verification", ACM
MM 2024, which optimise such inputs by gradients; here they are found by halving the way between two real inputs, which
takes no gradient and survives the wire's rounding), and are chosen so that each of a few subtly changed copies answers
several of them otherwise, and no re-serving of the same model does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.bundle.integrity import Catch, IntegrityPlan
from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import BoolArray, FloatArray, Inputs
from metav_audit.verdict.integrity import LEAST_MOVED, TOLERANCE
from metav_audit.zoo import training
from metav_audit.zoo.formats.opaque import Opaque, answers_anything
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.program import run_program
from metav_audit.zoo.project import Workshop

CANDIDATES = 1000
"""Pairs of inputs between which a border is looked for."""
HALVINGS = 24
"""Each halves the way that is left to the border."""
COPIES = 5
"""Changed copies of a kind by which queries are chosen."""
TRIED = 20
"""Others by which it is measured what they catch."""

Change = Callable[[Workshop, int], nn.Module]
"""From the owner's workshop and a seed to a changed copy of the target."""


def _tuned(workshop: Workshop, seed: int, *, steps: int, rate: float, flipped: float = 0.0) -> nn.Module:
    model, space = _copied(workshop), workshop.target.task.output
    rng, data = np.random.default_rng(seed), workshop.data.heldout
    labels = data.labels.copy()
    if flipped:
        some = rng.permutation(len(labels))[: max(1, round(flipped * len(labels)))]
        labels[some] = rng.permutation(labels[some]) if not space.labelled else (labels[some] + 1) % space.size
    chosen = rng.permutation(len(labels))[: 32 * steps]
    pairs = torch.from_numpy(data.inputs[chosen]), torch.from_numpy(labels[chosen])
    chance = training.seeded(seed)
    training.descend(
        model, list(model.parameters()), pairs, trained(space).loss(), epochs=1, rate=rate, generator=chance,
        decayed=False,
    )  # fmt: skip
    return model


def _one_step(workshop: Workshop, seed: int) -> nn.Module:
    return _tuned(workshop, seed, steps=1, rate=1e-3)


def _flipped(workshop: Workshop, seed: int) -> nn.Module:
    return _tuned(workshop, seed, steps=1 << 20, rate=5e-4, flipped=0.01)


def _int8(workshop: Workshop, seed: int) -> nn.Module:
    model = _copied(workshop)
    training.quantise(model, 8, training.seeded(seed))
    return model


def _pruned(workshop: Workshop, seed: int) -> nn.Module:
    model = _copied(workshop)
    training.prune(model, float(np.random.default_rng(seed).uniform(0.04, 0.06)))
    return model


def _sibling(workshop: Workshop, seed: int) -> nn.Module:
    return run_program(workshop, seed)


CHANGES: Mapping[str, Change] = {
    "one step of fine-tuning": _one_step,
    "eight bits a weight": _int8,
    "1 % of labels flipped, then tuned": _flipped,
    "5 % of weights pruned": _pruned,
    "swapped for a sibling": _sibling,
}


@torch.no_grad()
def _half(workshop: Workshop) -> nn.Module:
    """Round weights to half precision: what a server with such weights gives, computed in full."""
    model = _copied(workshop)
    for parameter in model.parameters():
        parameter.copy_(parameter.half().float())
    return model


class _InDoubles(nn.Module):
    """The same model computed in double precision: how far another runtime or batch may round otherwise."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.double()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.model(inputs.double())
        return outputs.float()


def reservings(workshop: Workshop) -> dict[str, nn.Module]:
    """Return the same model as other servers give it; none of a model without parameters of torch's."""
    if isinstance(workshop.target.network, Opaque):
        return {}
    return {"half precision": _half(workshop), "another runtime": _InDoubles(_copied(workshop)).eval()}


def changes_of(workshop: Workshop) -> dict[str, Change]:
    """Return the changes that can be made to this target.

    Raises:
        ConfigurationError: none can: it has neither weights of torch's nor a training program.
    """
    found = dict(CHANGES)
    if workshop.project.training is None or workshop.project.training.program is None:
        del found["swapped for a sibling"]
    if isinstance(workshop.target.network, Opaque):
        found = {name: change for name, change in found.items() if change is _sibling}
    if trained(workshop.target.task.output).adversarial:
        found = {name: change for name, change in found.items() if change not in (_one_step, _flipped)}
    if not found:
        raise ConfigurationError(
            "no changed copy of this target can be made: name its training program below [training], so that queries "
            "can be chosen that tell it from a sibling"
        )
    return found


class _Tried(NamedTuple):
    """Which of the candidates a changed copy answers otherwise than the target, bool of shape (M,), by each view."""

    by_label: BoolArray
    by_scores: BoolArray


def plan_integrity(
    workshop: Workshop,
    queries: int,
    seed: int,
    *,
    rate: float = 0.01,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> IntegrityPlan:
    """Choose inputs that tell the target from slightly changed copies, and measure on other copies what they catch.

    1. Candidates: of classes, inputs on the border between two; of values, real inputs.
    2. Those that a re-serving of the same model answers otherwise are left out.
    3. Greedily those that the copies answer otherwise, each worth the more the fewer of the chosen a copy reacts to.
    4. Copies of other seeds say what is caught.

    Args:
        workshop: the owner's model and data.
        queries: how many, at least 4.
        seed: of all chance.
        rate: the promised rate of false alarms.
        progress: told how many copies are made, of how many.

    Raises:
        ConfigurationError: there are too few inputs to choose from, or no changed copies.
    """
    target, space = workshop.target, workshop.target.task.output
    if not answers_anything(target.network):
        raise ConfigurationError(
            "integrity needs a model that can be asked about new inputs: a target that is an endpoint answers those "
            "alone that it was asked beforehand; name the model itself below [target]"
        )
    changes, rng = changes_of(workshop), np.random.default_rng(seed)
    pool = border_inputs(workshop, rng) if space.labelled else _real_inputs(workshop, rng)
    own = features_of_all([target.network], pool, space)[0]
    for model in reservings(workshop).values():
        steady = ~_tried(own, model, pool, workshop).by_label if space.labelled else np.ones(len(pool), np.bool_)
        pool, own = pool[steady], own[steady]
    if len(pool) < queries:
        raise ConfigurationError(
            f"only {len(pool)} inputs were found on which the target can hardly decide and stays the same when it is "
            f"served otherwise: ask for fewer than {queries} queries, or bring more validation data"
        )
    total = len(changes) * (COPIES + TRIED)
    made = _made(changes, workshop, seed, total, progress)
    reactions = [[_tried(own, next(made), pool, workshop) for _ in range(COPIES)] for _ in changes]
    chosen = _chosen([each for group in reactions for each in group], queries)
    inputs, answers = pool[chosen], own[chosen]
    catches = []
    for name in changes:
        tried = [_tried(answers, next(made), inputs, workshop) for _ in range(TRIED)]
        by_label, by_scores = (sum(map(_told, each)) for each in zip(*tried, strict=True))
        catches.append(Catch(name, TRIED, by_label, by_scores))
    shown = space.shown(answers).reshape(queries, -1)
    return IntegrityPlan(target.task, inputs, tuple(map(tuple, shown.tolist())), tuple(catches), (), rate)


def _made(
    changes: Mapping[str, Change], workshop: Workshop, seed: int, total: int, progress: Callable[[int, int], None]
) -> Iterator[nn.Module]:
    """Yield the copies by which is chosen, change by change, and then the others, each of a seed of its own."""
    order = [*((change, COPIES) for change in changes.values()), *((change, TRIED) for change in changes.values())]
    number = 0
    for change, count in order:
        for _ in range(count):
            number += 1
            model = change(workshop, int(np.random.default_rng([seed, number]).integers(2**31 - 1)))
            progress(number, total)
            yield model.eval()


def border_inputs(workshop: Workshop, rng: np.random.Generator) -> Inputs:
    """Return inputs on borders between two of the target's classes, valid in the domain, the nearest to them first.

    Raises:
        ConfigurationError: the target names one class for all of the validation data.
    """
    domain, given = workshop.target.task.domain, workshop.data.validation.inputs
    named = _margins(workshop, given)[0]
    if len(np.unique(named)) < 2:
        raise ConfigurationError("the target gives one label to all of the validation data: there is no border")
    one, other = rng.integers(0, len(given), (2, 4 * CANDIDATES))
    differ = np.flatnonzero(named[one] != named[other])[:CANDIDATES]
    here, there = given[one[differ]].astype(np.float64), given[other[differ]].astype(np.float64)
    first = named[one[differ]]
    shape = (-1, *[1] * (here.ndim - 1))
    low, high = np.zeros(len(here)), np.ones(len(here))
    best, least = domain.project(here.astype(np.float32)), np.full(len(here), np.inf)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        share = middle.reshape(shape)
        tried = domain.project((here * (1 - share) + there * share).astype(np.float32))
        labels, margins = _margins(workshop, tried)
        nearer = margins < least
        best[nearer], least[nearer] = tried[nearer], margins[nearer]
        still = labels == first
        low, high = np.where(still, middle, low), np.where(still, high, middle)
    return _distinct(best[np.argsort(least, kind="stable")])


def _real_inputs(workshop: Workshop, rng: np.random.Generator) -> Inputs:
    data = workshop.data.validation.inputs
    some = data[rng.permutation(len(data))[:CANDIDATES]]
    return _distinct(workshop.target.task.domain.project(some))


def _distinct(inputs: Inputs) -> Inputs:
    _, first = np.unique(inputs.reshape(len(inputs), -1), axis=0, return_index=True)
    return np.asarray(inputs[np.sort(first)])


def _margins(workshop: Workshop, inputs: Inputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the target's labels, and by how many nats each leads the next."""
    own = features_of_all([workshop.target.network], inputs, workshop.target.task.output)[0].astype(np.float64)
    highest = np.sort(own, axis=1)[:, -2:]
    return own.argmax(axis=1), highest[:, 1] - highest[:, 0]


def _tried(own: FloatArray, model: nn.Module, inputs: Inputs, workshop: Workshop) -> _Tried:
    space = workshop.target.task.output
    theirs = features_of_all([model], inputs, space)[0]
    apart = np.abs(space.shown(own) - space.shown(theirs)) if space.labelled else np.abs(own - theirs)
    by_scores = np.asarray(apart.reshape(len(own), -1).max(axis=1) > TOLERANCE)
    return _Tried(own.argmax(axis=1) != theirs.argmax(axis=1) if space.labelled else by_scores, by_scores)


def _chosen(tried: Sequence[_Tried], queries: int) -> NDArray[np.int64]:
    """Choose greedily, so that the copy that reacts to the fewest gains the most; ties go to the earlier candidate."""
    reacts = np.stack([each.by_label for each in tried]).astype(np.float64)
    got, left = np.zeros(len(reacts)), np.ones(reacts.shape[1], dtype=np.bool_)
    chosen = []
    for _ in range(queries):
        gain = (1 + got) ** -2.0 @ reacts
        best = int(np.where(left, gain, -1.0).argmax())
        left[best] = False
        chosen.append(best)
        got += reacts[:, best]
    return np.array(chosen, dtype=np.int64)


def _told(reacts: BoolArray) -> bool:
    """Say whether a copy that reacts so would be told as changed, beside sessions that never differ."""
    return bool(reacts.mean() >= LEAST_MOVED) and int(reacts.sum()) > 1


def _copied(workshop: Workshop) -> nn.Module:
    model = copy.deepcopy(workshop.target.network)
    for parameter in model.parameters():
        parameter.requires_grad = True
    return model
