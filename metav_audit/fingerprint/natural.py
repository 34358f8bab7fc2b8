"""The bundle's natural inputs, chosen where target and zoo agree, and near-duplicates that hardly move the models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from metav_audit.bundle import NaturalInputs
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.misreadings import misread_answers
from metav_audit.task import FloatArray, InputDomain, Inputs, OutputSpace
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.formats.opaque import answers_anything, is_cut, knows
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.project import Workshop, load_public
from metav_audit.zoo.shown import stepped, twins_of

POOL = 256
"""Inputs among which is chosen: every model of the calibration is asked about each."""

BLENDED = 4
"""Inputs of the same label that a synthetic one is the mean of."""

TRIES = 8
"""Near-duplicates tried for each input; the one that moves the models least is kept."""


def choose_natural(workshop: Workshop, models: Sequence[nn.Module], queries: Inputs, seed: int) -> NaturalInputs | None:
    """Choose natural inputs as the project says; None where it wants none, or the target gets none right.

    Args:
        workshop: the owner's model and data.
        models: the calibration's.
        queries: the fingerprint.
        seed: of all chance.
    """
    settings, target = workshop.project.settings.natural, workshop.target
    if settings.source == "none":
        return None
    rng, space = np.random.default_rng(seed), target.task.output
    pool = _pool(workshop, rng)
    own = features_of_all([target.network], pool.inputs, space)[0]
    others = features_of_all(models, pool.inputs, space)
    chosen = trained(space).surest(pool.labels, own, others, rng)[: settings.count]
    if not len(chosen):
        return None
    inputs = pool.inputs[chosen]
    asked = np.concatenate([queries, inputs])
    twins, apart = _twins([target.network, *models], asked, target.task.domain, space, rng)
    misread = list(misread_answers(target.network, target.task, asked, workshop.data.validation.inputs))
    return NaturalInputs(
        source="synthetic" if trained(space).adversarial else settings.source,
        inputs=inputs,
        reference=own[chosen],
        models=others[:, chosen],
        misreadings=tuple(name for name, _ in misread),
        misread=np.array([values for _, values in misread], dtype=np.float32).reshape(-1, len(asked), space.size),
        twins=twins,
        apart=apart,
    )


def _pool(workshop: Workshop, rng: np.random.Generator) -> LabelledData:
    """Return inputs to choose from, valid in the domain, with their labels."""
    task, settings = workshop.target.task, workshop.project.settings.natural
    data = load_public(workshop.project) if settings.source == "public" else workshop.data.validation
    some = data.take(rng.permutation(len(data))[:POOL])
    if settings.source == "synthetic" and not trained(task.output).adversarial:
        return _blended(data, task.domain, rng)
    return LabelledData(task.domain.project(some.inputs), some.labels)


def _blended(data: LabelledData, domain: InputDomain, rng: np.random.Generator) -> LabelledData:
    """Return means of inputs of one label, or of values next to each other: no single one can be told from them."""
    order = np.argsort(data.labels.reshape(len(data), -1)[:, 0] + rng.uniform(0, 1e-6, len(data)), kind="stable")
    starts = rng.permutation(max(len(order) - BLENDED + 1, 1))[:POOL]
    groups = [order[start : start + BLENDED] for start in starts]
    alike = [group for group in groups if data.labels.dtype.kind != "i" or len(set(data.labels[group].tolist())) == 1]
    inputs = np.stack([data.inputs[group].mean(axis=0) for group in alike or groups])
    labels = np.stack([data.labels[group].mean(axis=0) for group in alike or groups]).astype(data.labels.dtype)
    return LabelledData(domain.project(inputs.astype(np.float32)), labels)


def _twins(
    models: Sequence[nn.Module], inputs: Inputs, domain: InputDomain, space: OutputSpace, rng: np.random.Generator
) -> tuple[Inputs, FloatArray]:
    """Return near-duplicates, one step of one element apart, and how far models' answers to the two lie at most."""
    home = features_of_all(models, inputs, space)
    best, apart = inputs.copy(), np.full(len(inputs), np.inf, np.float32)
    for tried in _tries(models[0], inputs, domain, rng):
        answers = features_of_all(models, tried, space)
        drift = np.array(
            [
                max(space.drift(one[at], other[at]) for one, other in zip(home, answers, strict=True))
                for at in range(len(inputs))
            ],
            dtype=np.float32,
        )
        differs = (tried != inputs).reshape(len(inputs), -1).any(axis=1)
        better = differs & (drift < apart)
        best[better], apart[better] = tried[better], drift[better]
    return best, np.where(np.isfinite(apart), apart, 0).astype(np.float32)


def _tries(target: nn.Module, inputs: Inputs, domain: InputDomain, rng: np.random.Generator) -> Iterator[Inputs]:
    """Yield near-duplicates to try; of a target that was asked beforehand the one that it was asked, if it was.

    Where that shows less than numbers in full it cannot be seen how far a model moves: the inputs are their own twins.
    """
    if is_cut(target):
        yield inputs
        return
    if not answers_anything(target):
        tried = twins_of(inputs, domain)
        known = knows(target, tried).reshape(-1, *(1,) * (inputs.ndim - 1))
        yield np.where(known, tried, inputs)
        return
    width = inputs.reshape(len(inputs), -1).shape[1]
    for _ in range(TRIES):
        elements, signs = rng.integers(0, width, len(inputs)), rng.choice([-1.0, 1.0], len(inputs))
        yield stepped(inputs, elements, signs, domain)
