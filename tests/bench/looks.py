"""Stopping early, on simulated innocents: how often any look calls one of them a match, and after how many queries.

python -m tests.bench.looks --innocents 2000

Every innocent is drawn with the target's siblings and references from one law, of answers that have something in common
and more of their own, so that target and siblings are exchangeable for it; a share of them was stolen from one of the
siblings. Nothing is asked over a network: the rule that audits decide by judges the answers look by look.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np
from numpy.typing import NDArray

from metav_audit.statistics import clopper_pearson, place_over, quota_of
from metav_audit.verdict import RULES

Numbers = NDArray[np.float64]


WIDTH = 10
"""Numbers in an answer."""


def likeness(suspect: Numbers, models: Numbers) -> Numbers:
    """Return the cosine of a suspect's answers and each model's deviations from their mean, of shape (models,)."""
    own = models - models.mean(axis=0)
    mine = suspect - models.mean(axis=0)
    return np.asarray(own @ mine / (np.linalg.norm(own, axis=1) * np.linalg.norm(mine)), dtype=np.float64)


def drawn(rng: np.random.Generator, kind: str, models: int, looks: Sequence[int]) -> Numbers:
    """Return one suspect's likeness to target and siblings at each look, of shape (looks, models).

    Args:
        rng: draws all answers.
        kind: "independent", "thief of a sibling", "thief of two siblings", or "thief", which is derived.
        models: the target, which is the first, and its siblings.
        looks: queries before each look.
    """
    size = looks[-1] * WIDTH
    answers = rng.normal(size=(models, size)) * rng.gamma(2.0, size=size)
    suspect = rng.normal(size=size) * 2
    owed = {"independent": (), "thief of a sibling": (1,), "thief of two siblings": (1, 2), "thief": (0,)}[kind]
    for teacher in owed:
        suspect = suspect + rng.uniform(0.3, 1.5) * answers[teacher]
    return np.stack([likeness(suspect[: look * WIDTH], answers[:, : look * WIDTH]) for look in looks])


def named_at(found: Numbers, rate: float, lead: float) -> int | None:
    """Return the look, from 0, at which the target is named; None where it is at none."""
    quota = quota_of(rate, found.shape[1])
    for look in range(len(found)):
        place, named = place_over(found[: look + 1], quota, lead, last=look == len(found) - 1)
        if named and place <= quota:
            return look
    return None


@click.command()
@click.option("--innocents", default=2000, show_default=True, help="of each kind")
@click.option("--models", default=40, show_default=True, help="the target and its siblings")
@click.option("--rate", default=0.05, show_default=True, help="the promised rate of false matches")
@click.option("--seed", default=0, show_default=True)
def main(innocents: int, models: int, rate: float, seed: int) -> None:
    """Print for each kind how often the target is named at any look, and after how many queries, beside one look."""
    looks, rng = (8, 16, 32, 64), np.random.default_rng(seed)
    quota = quota_of(rate, models)
    print(f"{models} models, {quota} of them are named: {quota / models:.1%} promised, over looks after {looks}")
    for kind in ("independent", "thief of a sibling", "thief of two siblings", "thief"):
        found = [drawn(rng, kind, models, looks) for _ in range(innocents)]
        ends = [named_at(each, rate, RULES.look_lead) for each in found]
        once = sum(named_at(each[-1:], rate, RULES.look_lead) is not None for each in found)
        every = sum(any(named_at(each[at : at + 1], rate, 0) is not None for at in range(len(looks))) for each in found)
        hits = [looks[each] for each in ends if each is not None]
        low, high = clopper_pearson(len(hits), innocents)
        median = f"{np.median(hits):.0f}" if hits else "-"
        print(
            f"{kind:22} over all looks {len(hits) / innocents:6.2%} [{low:.2%}, {high:.2%}], one look "
            f"{once / innocents:6.2%}, uncorrected looks {every / innocents:6.2%}, median queries {median}",
            flush=True,
        )


if __name__ == "__main__":
    main()
