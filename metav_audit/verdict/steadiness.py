"""Whether the model stayed the same while it was asked: what the canaries, asked again and again, tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import CANARIES
from metav_audit.task import Answer, OutputSpace, ScoreKind, features, find_noise, find_view
from metav_audit.transcript import CanaryRound, Transcript
from metav_audit.verdict.rules import RULES, Rules


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What the rounds of canaries tell.

    Attributes:
        space: the task's outputs.
        asked: the rounds begun.
        whole: those of which every canary was answered.
        drift: how far the answers of each whole round lie from the first one's, in the space's unit.
        noise: the standard deviation of the noise in which they differ; 0 where they differ by less than the task's
            tolerance, or by more than noise.
        answered: queries of the fingerprint that were answered in the end.
    """

    space: OutputSpace
    asked: tuple[CanaryRound, ...]
    whole: tuple[CanaryRound, ...]
    drift: tuple[float, ...]
    noise: float
    answered: int

    @classmethod
    def of(cls, transcript: Transcript, space: OutputSpace, rules: Rules = RULES) -> Self:
        """Compare every whole round with the first."""
        kind = transcript.endpoint.scores
        whole = tuple(each for each in transcript.canaries if len(each.answers) == CANARIES and each.whole)
        values = [_values(each.answers, space, kind) for each in whole]
        drift = tuple(space.drift(values[0], each) for each in values)
        noise = 0.0
        if len(whole) > 1 and max(drift) > space.tolerance:
            shown = np.exp(values) if space.labelled else np.array(values)
            noise = find_noise(shown, kind, rules.views)
        answered = sum(answer is not None for answer in transcript.answers)
        return cls(space, transcript.canaries, whole, drift, noise, answered)

    def faults(self) -> Iterator[str]:
        """Say why the answers may not be one model's; noise is no change.

        Only whole rounds count, and the last of them has to follow the last answer: what came after it is vouched for
        by nothing.
        """
        blank = "so it cannot be told whether the model stayed the same" + self._last_error()
        if len(self.whole) < 2:
            yield f"the inputs asked again and again were not answered twice, {blank}"
            return
        limit = np.inf if self.noise else self.space.tolerance
        odd = next((index for index, each in enumerate(self.drift) if each > limit), None)
        if odd == 1:
            yield f"the same input is answered differently from call to call (by {self._apart()})"
        elif odd is not None:
            yield (
                f"the answers to the same inputs changed during the run (by {self._apart()}), "
                f"between {self.whole[odd - 1].at} and {self.whole[odd].at}: the model was changed"
            )
        elif max(each.after for each in self.whole) < self.answered:
            yield f"the inputs asked again and again were not answered after the last query, {blank}"

    def words(self) -> str:
        """Say how often the canaries were asked, and how far their answers lay apart."""
        asked = f"{CANARIES} inputs asked {len(self.asked)} times, answered {len(self.whole)} times"
        return asked if len(self.whole) < 2 else f"{asked}; their answers differ by {self._apart()} at most"

    def _last_error(self) -> str:
        errors = [each.error for each in self.asked if each.error]
        return f" (last error: {errors[-1][:200]})" if errors else ""

    def _apart(self) -> str:
        distance = max(self.drift)
        return f"{distance:.2g} {self.space.unit}" if np.isfinite(distance) else "what is shown"


def first_look(transcript: Transcript, space: OutputSpace) -> str:
    """Say what the first rounds of canaries show: the view, and whether the same input gets the same answer."""
    seen = Steadiness.of(transcript, space)
    answers = [answer for each in seen.whole for answer in each.answers]
    said = f"the first answers show {find_view(answers, space, transcript.endpoint.scores).words(space)}"
    if len(seen.whole) < 2:
        return said
    same = max(seen.drift) <= space.tolerance
    return f"{said}, " + ("the same twice" if same else f"differing by {seen._apart()} from call to call")


def _values(answers: Sequence[Answer | None], space: OutputSpace, kind: ScoreKind) -> NDArray[np.float64]:
    found = features(answers, space, kind)
    return np.where(found.mask, found.values, np.nan).astype(np.float64)
