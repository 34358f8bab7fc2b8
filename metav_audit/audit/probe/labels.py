"""Which of an API's labels is which of the task's: by their names, by their numbers, or by what they are given for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import BoolArray, Features

Scores = NDArray[np.float64]
Map = tuple[int, ...]
"""The place among the task's labels for each of the API's; -1 for none."""

_TINY = 1e-6
_MOST_LEFT = 32
"""Of more labels without an input a few answers tell nothing."""
_LEAST_TOGETHER, _STANDS_OUT = 0.7, 0.2
"""Correlation that a match without an input of its label needs, and how far it lies above all others'."""
_NUMBERED = re.compile(r"\D*?(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Matching:
    """A way to read an API's labels.

    Attributes:
        places: the task's label for each of the API's.
        by: "name", "number", "order", or "agreement": found from the answers themselves.
        right: how many answers it makes right, of those that can be told.
        told: how many can be told: what a map was found from does not bear it out.
        constant: how many of these one answer for all would make right.
        unsure: labels of the API, by place, whose match nothing bears out.
    """

    places: Map
    by: str
    right: int
    told: int
    constant: int
    unsure: tuple[int, ...] = ()

    @property
    def share(self) -> float:
        """The share of answers that are right; 0 where none can be told."""
        return self.right / self.told if self.told else 0.0


def matchings(
    shown: Features, remote: Sequence[str] | None, labels: Sequence[str], reference: Scores
) -> Iterator[Matching]:
    """Yield ways to read the API's labels, those that need no answers to be found first.

    Args:
        shown: the answers in the API's own labels, (K, R).
        remote: those labels, or None for a bare list in some order.
        labels: the task's, C of them.
        reference: the target's features on the same inputs, (K, C).
    """
    shares = np.where(shown.mask, np.exp(shown.values.astype(np.float64)), 0.0)
    if remote is None:
        yield _judged(tuple(range(len(labels))), "order", shares, shown.mask, reference)
    else:
        for by, places in (("name", _named(remote, labels)), *(("number", each) for each in _counted(remote, labels))):
            if max(places, default=-1) >= 0:
                yield _judged(places, by, shares, shown.mask, reference)
            if by == "name" and min(places, default=-1) >= 0:
                return
    yield _found(shares, shown.mask, reference)


def apply(places: Map, shown: Features, classes: int) -> Features:
    """Return answers in the task's own labels; what has no place among them is left out."""
    values = np.zeros((len(shown.values), classes), np.float32)
    mask = np.zeros(values.shape, np.bool_)
    for remote, place in enumerate(places):
        if place >= 0:
            values[:, place], mask[:, place] = shown.values[:, remote], shown.mask[:, remote]
    return Features(values, mask)


def _named(remote: Sequence[str], labels: Sequence[str]) -> Map:
    """Match names that differ in case, blanks and signs alone."""
    places = {_plain(label): place for place, label in enumerate(labels)}
    return tuple(places.get(_plain(name), -1) for name in remote)


def _counted(remote: Sequence[str], labels: Sequence[str]) -> Iterator[Map]:
    """Match ``3``, ``LABEL_3`` or ``class-3`` with the label in that place, counted from 0 or from 1."""
    found = [_NUMBERED.fullmatch(name) for name in remote]
    numbers = [int(each[1]) for each in found if each]
    if len(numbers) == len(remote) and len(set(numbers)) == len(numbers):
        for first in (0, 1):
            if all(0 <= number - first < len(labels) for number in numbers):
                yield tuple(number - first for number in numbers)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def _judged(places: Map, by: str, shares: Scores, mask: BoolArray, reference: Scores) -> Matching:
    tops = _tops(shares, mask)
    wanted = reference.argmax(axis=1)
    right = sum(places[top] == label for top, label in zip(tops, wanted, strict=True))
    return Matching(places, by, right, len(tops), int(np.bincount(wanted).max()))


def _found(shares: Scores, mask: BoolArray, reference: Scores) -> Matching:
    """Find the labels from the answers; each answer is judged by the map that the others give.

    An answer whose label no other input has tells nothing of a map.
    """
    wanted, tops = reference.argmax(axis=1), _tops(shares, mask)
    twice = [at for at, label in enumerate(wanted) if (wanted == label).sum() > 1]
    right = 0
    for at in twice:
        others = np.arange(len(wanted)) != at
        right += int(_by_inputs(shares[others], reference[others])[tops[at]] == wanted[at])
    constant = max(Counter(wanted[twice].tolist()).values(), default=0)
    places = _by_inputs(shares, reference)
    unsure = _by_elimination(places, shares, reference)
    return Matching(tuple(places.tolist()), "agreement", right, len(twice), constant, unsure)


def _by_inputs(shares: Scores, reference: Scores) -> NDArray[np.int64]:
    """Pair labels of inputs that were asked, by the covariance of what is shown with what the target shows; -1 else."""
    wanted = np.exp(reference)
    places = np.full(shares.shape[1], -1)
    asked = np.unique(reference.argmax(axis=1))
    _pair(places, (shares - shares.mean(axis=0)).T @ (wanted - wanted.mean(axis=0)), asked)
    return places


def _by_elimination(places: NDArray[np.int64], shares: Scores, reference: Scores) -> tuple[int, ...]:
    """Pair what is left, and return those of the API's labels whose place nothing bears out.

    What is left alone on both sides goes together; else the correlation of logarithms tells, which small scores have.
    """
    left, free = np.flatnonzero(places < 0), np.setdiff1d(np.arange(reference.shape[1]), places)
    if not len(left) or not len(free) or len(left) > _MOST_LEFT:
        return tuple(map(int, left)) if len(free) else ()
    together = _correlations(np.log(np.maximum(shares, _TINY)), reference)
    _pair(places, together, free)
    alone = len(left) == len(free) == 1
    return tuple(
        int(at) for at in left if not alone and not _stands_out(together, int(at), int(places[at]), left, free)
    )


def _pair(places: NDArray[np.int64], together: Scores, free: NDArray[np.int64]) -> None:
    """Give every label of the API that has none one of the free places, as long as there are some."""
    open_ = np.full(together.shape, -np.inf)
    open_[:, free] = together[:, free]
    open_[places >= 0] = -np.inf
    while np.isfinite(open_).any():
        remote, place = divmod(int(open_.argmax()), together.shape[1])
        places[remote] = place
        open_[remote], open_[:, place] = -np.inf, -np.inf


def _correlations(one: Scores, other: Scores) -> Scores:
    """Return how columns go together, of shape (columns of one, columns of the other); 0 where one does not vary."""
    left, right = one - one.mean(axis=0), other - other.mean(axis=0)
    lengths = np.outer(np.sqrt((left**2).sum(axis=0)), np.sqrt((right**2).sum(axis=0)))
    return np.asarray(left.T @ right / np.maximum(lengths, 1e-9))


def _stands_out(together: Scores, at: int, place: int, left: NDArray[np.int64], free: NDArray[np.int64]) -> bool:
    """Say whether a pair goes together well, and better than either with any other that was left."""
    if place < 0:
        return False
    others = [*together[at, free[free != place]], *together[left[left != at], place]]
    return bool(together[at, place] >= max([_LEAST_TOGETHER, *(other + _STANDS_OUT for other in others)]))


def _tops(shares: Scores, mask: BoolArray) -> list[int]:
    return [int(top) for top in np.where(mask, shares, -1.0).argmax(axis=1)]
