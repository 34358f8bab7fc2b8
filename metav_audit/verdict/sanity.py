"""Sanity controls: answers whose origin is beyond doubt, judged as the suspect's are, before any verdict is given.

A meta-verifier that calls shuffled or uniform answers derived says yes to whatever it is asked; one that calls the
target itself independent knows nothing of it. Neither bears a verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from metav_audit.statistics import most_by_chance
from metav_audit.task import Features, FloatArray, OutputSpace, OutputView

Judge = Callable[[Features], str]
"""Gives the outcome of answers by the suspect's own rule: "match", "no_match" or "inconclusive"."""


@dataclass(frozen=True, slots=True)
class SanityControls:
    """What the suspect's own rule says of answers whose origin is known.

    Attributes:
        shuffles: orders tried; 0 where one answer alone cannot be shuffled.
        shuffled_matches: how many of them came out as a match.
        promised: the share of them that may, the bundle's promised rate of false matches.
        most: so many may by chance where that share does.
        uniform: the outcome of uniform answers.
        target: the outcome of the target's own answers, seen through the suspect's view.
        ancestor: the outcome of the answers of the public model that the target was tuned from, likewise; None where
            there is none of the task.
    """

    shuffles: int
    shuffled_matches: int
    promised: float
    most: int
    uniform: str
    target: str
    ancestor: str | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each control that failed; none where the bundle bears a verdict."""
        return tuple(self._failures())

    def _failures(self) -> Iterator[str]:
        if self.shuffled_matches > self.most:
            yield (
                f"sanity control failed: {self.shuffled_matches} of {self.shuffles} shufflings of the endpoint's "
                f"answers over the queries would be a match, where {self.promised:.0%} may, {self.most} by chance"
            )
        if self.uniform == "match":
            yield "sanity control failed: uniform answers, which tell of no model, would be a match"
        if self.target == "no_match":
            yield "sanity control failed: the protected model's own answers, seen the same way, would be no match"
        if self.ancestor == "match":
            yield "sanity control failed: the answers of the ancestor that the target was tuned from would be a match"

    def __str__(self) -> str:
        """Say what was seen in one line."""
        return (
            f"{self.shuffled_matches} of {self.shuffles} shufflings match "
            f"({self.promised:.0%} may, {self.most} by chance), uniform answers: {self.uniform}, "
            f"the target's own answers: {self.target}"
            + ("" if self.ancestor is None else f", its ancestor's: {self.ancestor}")
        )


def run_sanity_controls(
    shown: Features,
    reference: FloatArray,
    space: OutputSpace,
    view: OutputView,
    judge: Judge,
    promised: float,
    seed: int,
    shuffles: int,
    chance: float,
) -> SanityControls:
    """Judge shuffled, uniform and the target's own answers as if the suspect had given them.

    Args:
        shown: the suspect's canonical features, as its API showed them.
        reference: the target's own, float32 of shape (N, D).
        space: what comes out of a model of the task.
        view: what the suspect's API shows.
        judge: the suspect's own rule.
        promised: the rate of false matches that the bundle promises.
        seed: of the shufflings; see ``sanity_seed``.
        shuffles: orders in which the suspect's own answers are judged.
        chance: that more of them match than may, where no more do on average.
    """
    rows = np.flatnonzero(shown.answered)
    rng = np.random.default_rng(seed)
    # Another noise than that of the calibration models, which begins alike.
    view = replace(view, seed=view.seed + 1)
    shuffles = shuffles if len(rows) > 1 else 0
    outcomes = [judge(_shuffled(shown, rng.permutation(rows))) for _ in range(shuffles)]
    uniform = np.broadcast_to(space.blank().astype(np.float32), reference.shape)
    return SanityControls(
        shuffles=shuffles,
        shuffled_matches=outcomes.count("match"),
        promised=promised,
        most=most_by_chance(shuffles, promised, chance),
        uniform=judge(_seen(uniform, shown, view, space)),
        target=judge(_seen(reference, shown, view, space)),
    )


def with_ancestor(
    controls: SanityControls, ancestor: FloatArray, shown: Features, space: OutputSpace, view: OutputView, judge: Judge
) -> SanityControls:
    """Judge the answers of the target's ancestor, float32 of shape (N, D), as if the suspect had given them."""
    view = replace(view, seed=view.seed + 1)
    return replace(controls, ancestor=judge(_seen(ancestor, shown, view, space)))


def sanity_seed(bundle_sha256: str, transcript_sha256: str) -> int:
    """Return a seed that neither the maker of the bundle nor the auditor chooses: it follows from what both left."""
    digest = hashlib.sha256(f"{bundle_sha256} {transcript_sha256}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _shuffled(shown: Features, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Features:
    """Give each answered query the answer to the one before it in a cycle through ``order``: none keeps its own."""
    values, mask = shown.values.copy(), shown.mask.copy()
    values[order], mask[order] = shown.values[np.roll(order, 1)], shown.mask[np.roll(order, 1)]
    return Features(values, mask)


def _seen(values: FloatArray, shown: Features, view: OutputView, space: OutputSpace) -> Features:
    """Show full answers as the suspect's API would have shown them, to the queries that it answered."""
    mask = np.broadcast_to(shown.answered[:, None], values.shape)
    return view.apply(Features(np.where(mask, values, 0).astype(np.float32), mask.copy()), space)
