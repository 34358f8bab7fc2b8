"""Whether one model gave all the answers: what inputs asked again and again, and near-duplicates, tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle
from metav_audit.task import ROUNDING, Answer, OutputSpace, OutputView, ScoreKind, features, find_noise, find_view
from metav_audit.transcript import Exchange, Transcript
from metav_audit.verdict.asked import Asked, rank_of
from metav_audit.verdict.rules import RULES, Rules

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Again:
    """A later answer to the same input: how far from the first and from the one before, and when these were asked."""

    drift: float
    step: float
    before: Exchange
    later: Exchange


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What repetitions and near-duplicates tell.

    Attributes:
        space: the task's outputs.
        repeated: inputs that were to be asked several times.
        again: later answers to these, in the space's unit apart from the first.
        noise: the standard deviation of the noise in which they differ; 0 where they differ by less than the task's
            tolerance, or by more than noise.
        vouched: whether one of them came after every answer that counts.
        pairs: inputs that were answered, and their near-duplicates, too.
        odd_pairs: those of them whose near-duplicate got an answer that no model of the calibration gives.
        odd_share: the share of pairs that may be odd.
        error: the last error among the repetitions, or None.
    """

    space: OutputSpace
    repeated: int
    again: tuple[_Again, ...]
    noise: float
    vouched: bool
    pairs: int
    odd_pairs: int
    odd_share: float
    error: str | None

    @classmethod
    def of(
        cls, bundle: FingerprintBundle, transcript: Transcript, rules: Rules = RULES, asked: Asked | None = None
    ) -> Self:
        """Compare every later answer to an input with the first, and every near-duplicate's with its like's.

        Args:
            bundle: what was asked.
            transcript: what came back.
            rules: what counts as noise, and as alike.
            asked: what stood there at a look; all of the transcript by default.
        """
        asked = asked or Asked.of(bundle, transcript)
        space, kind = bundle.task.output, transcript.endpoint.scores
        groups = [each for each in asked.repeats if len(each) > 1]
        values = [_values([exchange.answer for exchange in each], space, kind) for each in groups]
        again = tuple(
            _Again(space.drift(shown[0], shown[at]), space.drift(shown[at - 1], shown[at]), group[at - 1], group[at])
            for group, shown in zip(groups, values, strict=True)
            for at in range(1, len(group))
        )
        noise = 0.0
        if max((each.drift for each in again), default=0.0) > space.tolerance:
            shown = [np.exp(each) if space.labelled else each for each in values]
            noise = find_noise(shown, kind, rules.views, [list(map(rank_of, each)) for each in groups])
        counted = [rank_of(each) for each in (*asked.queries, *asked.natural) if each.answer is not None]
        vouched = max((rank_of(each) for each in asked.closing if each.answer is not None), default=-1) > max(
            counted, default=0
        )
        pairs = asked.pairs
        errors = (attempt.error for places in asked.schedule.repeats for place in places
                  for attempt in asked.exchanges[place].attempts if attempt.error)  # fmt: skip
        return cls(
            space=space,
            repeated=len(asked.schedule.repeats),
            again=again,
            noise=noise,
            vouched=vouched,
            pairs=len(pairs),
            odd_pairs=_odd(bundle, pairs, kind, noise, rules),
            odd_share=rules.odd_pairs,
            error=next(iter(list(errors)[::-1]), None),
        )

    def faults(self) -> Iterator[str]:
        """Say why the answers may not be one model's; noise is no change."""
        blank = "so it cannot be told whether the model stayed the same" + self._last_error()
        changed = not self.noise and max((each.drift for each in self.again), default=0.0) > self.space.tolerance
        if not self.again:
            yield f"the inputs asked again and again were not answered twice, {blank}"
        elif changed:
            yield self._changed()
        elif not self.vouched:
            yield f"the inputs asked again and again were not answered after the last query, {blank}"
        if self.odd_pairs > self.odd_share * self.pairs:
            yield (
                f"the near-duplicates of {self.odd_pairs} of {self.pairs} inputs, one step of one element apart, get "
                "answers far from theirs: noise that hangs on the input, or several models"
            )

    def words(self) -> str:
        """Say how often inputs were asked again, and how far their answers lay apart."""
        said = f"{self.repeated} inputs asked again and again, {len(self.again)} later answers"
        if self.again:
            said += f" that differ by {self._apart()} at most"
        if not self.pairs:
            return said
        alike = self.pairs - self.odd_pairs
        return f"{said}; {self.pairs} near-duplicates, {alike} answered like their likes"

    def _changed(self) -> str:
        """Say whether a single moment explains every change."""
        changes = [each for each in self.again if each.step > self.space.tolerance]
        moments = sorted({rank_of(each.later) for each in self.again})
        for moment in moments:
            across = [each for each in self.again if rank_of(each.before) < moment <= rank_of(each.later)]
            if across == changes:
                before = max(_ends(self.again, moment, before=True), key=rank_of)
                after = min(_ends(self.again, moment, before=False), key=rank_of)
                since, until = sorted([before.at, after.at])  # Of requests in flight together, either comes first.
                return (
                    f"the answers to the same inputs changed during the run (by {self._apart()}), "
                    f"between {since} and {until}: the model was changed"
                )
        return f"the same input is answered differently from call to call (by {self._apart()})"

    def _last_error(self) -> str:
        return f" (last error: {self.error[:200]})" if self.error else ""

    def _apart(self) -> str:
        distance = max(each.drift for each in self.again)
        return f"{distance:.2g} {self.space.unit}" if np.isfinite(distance) else "what is shown"


def first_look(transcript: Transcript, space: OutputSpace) -> str:
    """Say what the first answers show."""
    answers = [each.answer for each in transcript.exchanges if each.answer is not None]
    return f"the first answers show {find_view(answers, space, transcript.endpoint.scores).words(space)}"


def _ends(again: Sequence[_Again], moment: int, *, before: bool) -> list[Exchange]:
    exchanges = [exchange for each in again for exchange in (each.before, each.later)]
    return [each for each in exchanges if (rank_of(each) < moment) is before]


def _odd(
    bundle: FingerprintBundle,
    pairs: Sequence[tuple[int, Exchange, Exchange]],
    kind: ScoreKind,
    noise: float,
    rules: Rules,
) -> int:
    """Count the pairs that lie further apart than rounding, noise and a model's own steepness allow.

    A model may be steeper than all of the calibration: two answers that lie apart by little of how far models do are
    one model's.
    """
    if bundle.natural is None or not pairs:
        return 0
    space = bundle.task.output
    view = find_view([each.answer for _, *both in pairs for each in both], space, kind, rules.views)
    odd = 0
    for number, *both in pairs:
        one, other = _values([each.answer for each in both], space, kind)
        limit = rules.pair_slack * max(float(bundle.natural.apart[number]), space.tolerance)
        apart = _apart(one, other, space, view, rules.pair_noise * noise)
        odd += apart > limit and apart > rules.pair_share * _models_apart(bundle, number)
    return odd


def _models_apart(bundle: FingerprintBundle, number: int) -> float:
    """Return how far the calibration's independents lie from the target at an input, in the median."""
    assert bundle.natural is not None
    queries, independent = len(bundle.inputs), [not card.derived for card in bundle.calibration.models]
    if number < queries:
        reference, models = bundle.reference[number], bundle.calibration.features[independent, number]
    else:
        natural, number = bundle.natural, number - queries
        reference, models = natural.reference[number], natural.models[independent[: len(natural.models)], number]
    return float(np.median([np.abs(one - reference).max() for one in models.astype(np.float64)]))


def _apart(one: Values, other: Values, space: OutputSpace, view: OutputView, noise: float) -> float:
    """Return how far two answers lie apart in the space's unit, but for what rounding and noise explain."""
    if view.label_only:
        return float("inf") if (np.isnan(one) != np.isnan(other)).any() else 0.0
    step = 0.0 if view.decimals is None else 10.0**-view.decimals
    if space.labelled:
        explained = np.abs(np.exp(one) - np.exp(other)) <= ROUNDING + noise + step * (1 + 1e-6)
        return float(np.nanmax(np.where(explained, 0.0, np.abs(one - other)), initial=0.0))
    rounding = np.abs(space.canonical(space.shown(one) + step, ScoreKind.VALUE) - one)
    return float(np.nanmax(np.abs(one - other) - rounding - noise, initial=0.0))


def _values(answers: Sequence[Answer | None], space: OutputSpace, kind: ScoreKind) -> Values:
    found = features(answers, space, kind)
    return np.where(found.mask, found.values, np.nan).astype(np.float64)
