"""How like a text is to each of several: common runs of words, those that few of them have weighing most."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORDS = re.compile(r"\w+|[^\w\s]")

LONGEST_RUN = 3
"""Words of a run, at most."""

MOST_WORDS = 2000
"""Words of a text that are looked at."""


def likenesses(text: str, others: Sequence[str]) -> list[float]:
    """Return how like ``text`` is to each of ``others``, at least 0; the same whatever their order.

    A run of one to three words that both have counts by its rarity among ``others``, the logarithm of (1 + how many
    there are) by how many have it; the sum is divided by the root of what all of the other's runs count.

    >>> likenesses("the cat sat", ["the cat ran", "the dog ran", "a bird flew"])[1:] != [0.0, 0.0]
    True
    """
    runs = [_runs(other) for other in others]
    having = Counter(run for each in runs for run in each)
    weight = {run: math.log((1 + len(others)) / count) for run, count in having.items()}
    said = _runs(text)
    found = []
    for each in runs:
        size = math.fsum(weight[run] for run in each)
        common = math.fsum(weight[run] for run in each & said)
        found.append(common / math.sqrt(size) if size else 0.0)
    return found


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORDS.findall(text.casefold())[:MOST_WORDS]
    return {
        tuple(words[at : at + length]) for length in range(1, LONGEST_RUN + 1) for at in range(len(words) - length + 1)
    }
