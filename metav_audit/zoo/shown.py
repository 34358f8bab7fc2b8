"""Inputs made of the owner's data, by which models are compared: some natural ones, blends, noise, near-duplicates."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import InputDomain, Inputs
from metav_audit.zoo.data import LabelledData, OwnerData

MOST = 1000
"""Inputs of each sort at most."""

TRIED = 8
"""Elements of an input of which one is moved."""


class Shown(NamedTuple):
    """What models are shown to see how they behave.

    Attributes:
        natural: some of the validation data.
        known: some of the training data.
        blends: means of two of the natural inputs.
        noise: inputs drawn from the domain.
    """

    natural: LabelledData
    known: LabelledData
    blends: Inputs
    noise: Inputs


def shown_of(data: OwnerData, domain: InputDomain) -> Shown:
    """Choose what models are shown: the same data give the same inputs, ``MOST`` of each sort at most."""
    rng = np.random.default_rng(0)
    natural = data.validation.take(rng.permutation(len(data.validation))[:MOST])
    known = data.train.take(rng.permutation(len(data.train))[:MOST])
    pairs = rng.integers(0, len(natural), (2, len(natural)))
    blends = domain.project((natural.inputs[pairs[0]] + natural.inputs[pairs[1]]) / 2)
    return Shown(natural, known, blends, domain.sample(len(natural), rng))


def compared_on(data: OwnerData, domain: InputDomain) -> Inputs:
    """Return the inputs on which a replay is compared with the target: ``MOST`` natural ones, and as many of noise."""
    natural = data.validation.inputs[:MOST]
    return np.concatenate([natural, domain.sample(len(natural), np.random.default_rng(0))])


def twins_of(inputs: Inputs, domain: InputDomain) -> Inputs:
    """Return a near-duplicate of each input, always the same of the same input; of ``TRIED`` the one that lies nearest.

    Which elements are tried follows from the input's hash. Where none can be moved the input itself is returned.
    """
    home = domain.project(inputs)
    words = np.array([list(hashlib.sha256(each.tobytes()).digest()) for each in home], dtype=np.int64).reshape(-1, 32)
    width = int(np.prod(domain.shape))
    best, least = home.copy(), np.full(len(home), np.inf)
    for number in range(TRIED):
        one, two, three, sign = words[:, 4 * number : 4 * number + 4].T
        tried = stepped(home, (one + (two << 8) + (three << 16)) % width, np.where(sign & 1, 1.0, -1.0), domain)
        apart = np.abs(tried - home).reshape(len(home), -1).sum(axis=1)
        better = (apart > 0) & (apart < least)
        best[better], least[better] = tried[better], apart[better]
    return best


def stepped(inputs: Inputs, elements: NDArray[np.int64], signs: NDArray[np.float64], domain: InputDomain) -> Inputs:
    """Return inputs with one element moved by the smallest step that survives the wire; back where it cannot go on."""
    rows, moved = np.arange(len(inputs)), inputs.copy()
    for sign in (signs, -signs):
        for power in range(24, -1, -1):
            still = (moved == inputs).reshape(len(inputs), -1).all(axis=1)
            if not still.any():
                return moved
            tried = inputs.reshape(len(inputs), -1).copy()
            tried[rows, elements] += (sign * domain.extent * 2.0**-power).astype(np.float32)
            projected = domain.project(tried.reshape(inputs.shape))
            moved[still] = projected[still]
    return moved
