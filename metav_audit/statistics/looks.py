"""Looking several times: of models that are treated alike few are ever named, so one of them seldom is.

At each look all members of a group, a suspect's place among them, have a statistic. A member that stands out at an
early look is *named*; at most ``quota`` of them are, over all looks. At the last look whoever is left takes the places
behind, in the order of that look. If the members are exchangeable, each takes each place with the same probability, so
that place / n is a p-value whatever the suspect and however often one looks: nothing is spent by looking, and what is
named early leaves fewer places for later. The rule sees no member's number, ties count against the one whose place is
asked, and docs/watching.md has the proof.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

EQUAL = 1e-9
"""Statistics that lie nearer together count as equal."""


def quota_of(rate: float, members: int) -> int:
    """Return how many of so many members may be named, for any one of them to be with a probability of ``rate``.

    >>> quota_of(0.05, 20), quota_of(0.05, 41), quota_of(0.05, 19)
    (1, 2, 0)
    """
    return math.floor(rate * members + EQUAL)


def stands_out(values: NDArray[np.float64]) -> tuple[int, float]:
    """Return who leads a group, and by which share of how far the second lies above the median.

    Two that lead together, and a group of fewer than three, have no leader: the share is 0.

    >>> stands_out(np.array([1.0, 2.0, 3.0, 9.0]))
    (3, 12.0)
    """
    if len(values) < 3:
        return 0, 0.0
    order = np.argsort(values)[::-1]
    lead = float(values[order[0]] - values[order[1]])
    if lead <= EQUAL:
        return int(order[0]), 0.0
    spread = float(values[order[1]] - np.median(values))
    return int(order[0]), lead / max(spread, EQUAL)


def place_over(looks: NDArray[np.float64], quota: int, clear: float, *, last: bool) -> tuple[int, bool]:
    """Return the first member's place after some looks, from 1, and whether it was named.

    Args:
        looks: each member's statistic at each look so far, of shape (looks, members); the greatest stands out.
        quota: members that are named at most; see ``quota_of``.
        clear: who leads by so much of what ``stands_out`` says is named at an early look.
        last: whether the last of them is the last look of all, where the places that are left are given.

    A member that is named at the first look keeps its place, whatever comes:

    >>> looks = np.array([[9.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    >>> place_over(looks, 1, 0.75, last=True), place_over(looks[1:], 1, 0.75, last=True)
    ((1, True), (4, False))
    """
    left = np.arange(looks.shape[1])
    named = 0
    for number, values in enumerate(looks):
        if last and number == len(looks) - 1:
            break
        while named < quota:
            leader, lead = stands_out(values[left])
            if lead < clear:
                break
            named += 1
            if left[leader] == 0:
                return named, True
            left = np.delete(left, leader)
    ahead = int((looks[-1][left] >= looks[-1][0] - EQUAL).sum())  # It counts itself.
    return named + ahead, last and named + ahead <= quota
