"""What differs between two audits of an endpoint: the answers to the same inputs are the strongest sign of a swap."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import ROUNDING, OutputView
from metav_audit.verdict import RULES
from metav_audit.watch.sighting import Sighting

LEAST_SHARED = 4
"""Fewer inputs that both answered tell nothing."""
_FEWEST, _LEAST_SHARE = 3, 0.05
"""So many inputs, and such a share of them, are answered otherwise by another model at least."""
_FAR = 6.0
"""Standard deviations of two answers' noise that a single answer does not move by chance."""
_SWOLLEN = 4.0
"""So many times the variance of noise is more than noise: its deviation is known to a tenth or two."""
_LEAST_NUMBERS = 20
_SLOWER = 2.0
_SCORE_STEP = 1e-3

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """How the answers to the same inputs compare.

    Attributes:
        shared: inputs that both audits were answered.
        differ: those of them that were answered otherwise than rounding and noise explain.
        apart: the median distance of two answers, in probability or in the space's unit.
        furthest: the largest.
        moved: whether another model gave them; None where too few were shared, or one audit met several models.
    """

    shared: int
    differ: int
    apart: float
    furthest: float
    moved: bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between an audit and an earlier one.

    Attributes:
        outcomes: of the two verdicts, the earlier first.
        scores: of both.
        score_moved: whether these differ by more than noise; None where one is missing.
        answers: to the same inputs; None where the bundles differ.
        identities: names that the server gave itself, each with what it was before and after, where no value is shared.
        machine: the same for names of the machine in front of the model, which mean little.
        views: what was shown, in words.
        view_changed: whether something else is shown now.
        latencies: median seconds to an answer.
        slower: whether these differ by a factor of two or more.
    """

    outcomes: tuple[str, str]
    scores: tuple[float | None, float | None]
    score_moved: bool | None
    answers: Answers | None
    identities: dict[str, tuple[str, str]]
    machine: dict[str, tuple[str, str]]
    views: tuple[str, str]
    view_changed: bool
    latencies: tuple[float | None, float | None]
    slower: bool

    @property
    def changed(self) -> bool | None:
        """Whether another model, or another API, answers; None where that cannot be told."""
        moved = None if self.answers is None else self.answers.moved
        return True if self.signs else (False if moved is False else None)

    @property
    def signs(self) -> tuple[str, ...]:
        """What says so, in words, the strongest sign first."""
        found = []
        if self.answers is not None and self.answers.moved:
            found.append(
                f"{self.answers.differ} of {self.answers.shared} inputs are answered otherwise "
                f"(by {self.answers.apart:.2g} in the median, {self.answers.furthest:.2g} at most)"
            )
        found += [f"{name} was {before}, is {after}" for name, (before, after) in self.identities.items()]
        if self.view_changed:
            found.append(f"it showed {self.views[0]}, shows {self.views[1]}")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Describe the comparison in JSON types."""
        return {**asdict(self), "changed": self.changed, "signs": list(self.signs)}


def compare(one: Sighting, other: Sighting) -> Comparison:
    """Compare an audit with an earlier one, ``one``, of the same endpoint.

    1. The answers to the same inputs, where both audits asked the same bundle's.
    2. The names that the server gave itself: one that shares no value with before is another.
    3. What was shown of the outputs.
    4. Score and latency, which are told and prove nothing.
    """
    same = one.bundle_sha256 == other.bundle_sha256 and one.answers.shape == other.answers.shape
    alike = same and bool((_asked(one) == _asked(other)).all())
    names = {name: (", ".join(one.identities[name][:3]), ", ".join(other.identities[name][:3]))
             for name in sorted(one.identities.keys() & other.identities.keys())
             if not set(one.identities[name]) & set(other.identities[name])}  # fmt: skip
    machine = {name: names.pop(name) for name in RULES.machine_names if name in names}
    return Comparison(
        outcomes=(one.outcome.value, other.outcome.value),
        scores=(one.score, other.score),
        score_moved=_score_moved(one, other) if alike or (_told(one) and _told(other)) else None,
        answers=_answers(one, other) if same else None,
        identities=names,
        machine=machine,
        views=(one.view_words, other.view_words),
        view_changed=_view_changed(one, other, alike),
        latencies=(one.latency, other.latency),
        slower=_slower(one.latency, other.latency),
    )


def _answers(one: Sighting, other: Sighting) -> Answers:
    first, second = (each.answers.astype(np.float64) for each in (one, other))
    shared = ~np.isnan(first).all(axis=1) & ~np.isnan(second).all(axis=1)
    count = int(shared.sum())
    if not count:
        return Answers(0, 0, 0.0, 0.0, None)
    noise = math.hypot(one.view.noise, other.view.noise)
    apart, far = far_apart(replace(one, answers=one.answers[shared]), replace(other, answers=other.answers[shared]))
    first, second = first[shared], second[shared]
    differ = int(far.any(axis=1).sum())
    moved = differ >= max(_FEWEST, math.ceil(_LEAST_SHARE * count)) or _swollen(first, second, one.labelled, noise)
    sure = count >= LEAST_SHARED and one.steady and other.steady
    largest = np.nanmax(apart, axis=1, initial=0.0)
    return Answers(count, differ, float(np.median(largest)), float(largest.max()), bool(moved) if sure else None)


def far_apart(one: Sighting, other: Sighting) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return how far the numbers of two sightings' answers lie apart, and which further than one model's would.

    Both answer the same inputs; the shapes are those of their answers, or (inputs, 1) where labels alone are shown.
    """
    first, second = (each.answers.astype(np.float64) for each in (one, other))
    labels = one.view.label_only or other.view.label_only
    apart = _labels_apart(first, second) if labels else _apart(first, second, labelled=one.labelled)
    noise = math.hypot(one.view.noise, other.view.noise)
    far = apart > _allowed(one, other, noise)
    if one.labelled and not labels and not noise:
        # Near the floor the last digit alone is worth nats, and near 1 a change of the model may be worth little.
        with np.errstate(invalid="ignore"):
            far &= ~(np.abs(first - second) <= one.tolerance)
    return apart, far


def _apart(first: Numbers, second: Numbers, *, labelled: bool) -> Numbers:
    """Return how far the numbers of two answers lie apart; of what one alone shows, how far at least."""
    one, other = (np.exp(first), np.exp(second)) if labelled else (first, second)
    apart = np.abs(one - other)
    if labelled:
        for shown, hidden in ((one, other), (other, one)):
            missing = np.isnan(hidden) & ~np.isnan(shown)
            ceiling = np.broadcast_to(np.nanmin(hidden, axis=1, keepdims=True), shown.shape)
            apart = np.where(missing, np.maximum(shown - ceiling, 0.0), apart)
    return np.nan_to_num(apart, nan=0.0)


def _labels_apart(first: Numbers, second: Numbers) -> Numbers:
    named = [np.nan_to_num(each, nan=-np.inf).argmax(axis=1) for each in (first, second)]
    return np.asarray((named[0] != named[1])[:, None], dtype=np.float64)


def _allowed(one: Sighting, other: Sighting, noise: float) -> float:
    places = [each.view.decimals for each in (one, other) if each.view.decimals is not None]
    step = 10.0 ** -min(places) * (1 + 1e-6) if places else 0.0
    exact = ROUNDING if one.labelled else one.tolerance
    return exact + step + _FAR * noise


def _swollen(first: Numbers, second: Numbers, labelled: bool, noise: float) -> bool:
    """Say whether answers behind noise lie further apart, all in all, than the noise explains."""
    if not noise:
        return False
    one, other = (np.exp(first), np.exp(second)) if labelled else (first, second)
    inside = ~np.isnan(one) & ~np.isnan(other)
    if labelled:
        # Where a probability is cut off at 0 there is less noise than elsewhere.
        inside &= (np.nan_to_num(one) > 2 * noise) | (np.nan_to_num(other) > 2 * noise)
    squares = (one - other)[inside] ** 2
    return len(squares) >= _LEAST_NUMBERS and float(squares.mean()) > _SWOLLEN * noise**2


def _score_moved(one: Sighting, other: Sighting) -> bool | None:
    if one.score is None or other.score is None:
        return None
    return abs(one.score - other.score) > 3 * math.hypot(one.score_noise, other.score_noise) + _SCORE_STEP


def _view_changed(one: Sighting, other: Sighting, alike: bool) -> bool:
    """Compare what is shown where both were asked all, or stopped early after the same."""
    sure = (_told(one) and _told(other)) or (alike and one.steady and other.steady)
    return sure and _kind_of(one.view) != _kind_of(other.view)


def _asked(sighting: Sighting) -> NDArray[np.bool_]:
    """Say which inputs were answered."""
    return np.asarray(~np.isnan(sighting.answers).all(axis=1))


def _told(sighting: Sighting) -> bool:
    """Say whether enough was answered to tell what is shown."""
    return sighting.answered >= 0.9 * sighting.queries and sighting.steady


def _kind_of(view: OutputView) -> tuple[Any, ...]:
    return view.top, view.decimals, view.label_only, view.cut, view.noise > 0


def _slower(before: float | None, after: float | None) -> bool:
    if not before or not after:
        return False
    return max(before, after) / min(before, after) >= _SLOWER
