"""Numbers as APIs write them, and the scores that follow from those that are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from metav_audit.adapter import Answer, AnswerError, ScoreKind

NUMBER = re.compile(r"\s*([+-]?(?:\d{1,40}(?:[.,]\d{0,40})?|[.,]\d{1,40})(?:[eE][+-]?\d{1,3})?)\s*(%?)\s*")
_SHARES = (ScoreKind.PROBABILITY, ScoreKind.PERCENT)
_NEXT_TO_NOTHING = 1e-3
_UNEVEN = 0.05
"""By so much rounded shares add up to more than 1."""


def read_number(value: Any, kind: ScoreKind, *, comma: bool) -> Any:
    """Return what stands for a number, with texts such as "97.3 %" read; what is no such text is returned as it is.

    Args:
        value: a part of a parsed response.
        kind: the kind of score; shares and percents may have a decimal comma, since none of them goes into thousands.
        comma: whether numbers of other kinds have one.

    Raises:
        AnswerError: there is a percent sign behind what is no percent, or a comma that may be either mark.
    """
    found = NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[2] and kind is not ScoreKind.PERCENT:
        raise AnswerError('an answer holds percent signs: declare what the API returns (scores = "percent")')
    if "," in found[1] and not (comma or kind in _SHARES):
        raise AnswerError(
            f"an answer holds the number {value[:40]!r}: declare decimal_comma = true if that is its decimal mark"
        )
    return float(found[1].replace(",", "."))


def other_of_two(shown: float, kind: ScoreKind) -> float:
    """Return the score of the other of two labels; of logits, where the one is that of a sigmoid, 0.

    >>> other_of_two(0.75, ScoreKind.PROBABILITY), other_of_two(75.0, ScoreKind.PERCENT)
    (0.25, 25.0)
    """
    if kind is ScoreKind.LOG_PROBABILITY:
        return math.log(max(-math.expm1(min(shown, 0.0)), 1e-300))
    return {ScoreKind.PROBABILITY: 1 - shown, ScoreKind.PERCENT: 100 - shown}.get(kind, 0.0)


def share_out(answer: Answer, ignored: Sequence[Any], kind: ScoreKind) -> Answer:
    """Share out among the task's classes what was given to those that the task lacks.

    A network with a class more would answer so were that class left out of its softmax. What is no share beside these
    shares, such as a time or a number of the request, is left out alone. Where all was given to other classes, the
    answer shows nothing.
    """
    if kind not in (*_SHARES, ScoreKind.LOG_PROBABILITY):
        return answer
    logs, whole = kind is ScoreKind.LOG_PROBABILITY, 100.0 if kind is ScoreKind.PERCENT else 1.0

    def share(score: float) -> float:
        return math.exp(min(score, 0.0)) if logs else score / whole

    numbers = [score for score in ignored if isinstance(score, int | float) and not isinstance(score, bool)]
    given = sum(share(score) for score in numbers if not logs or score <= 0)
    kept = sum(share(score) for score in answer.scores if score is not None)
    complete = None not in answer.scores
    if not _NEXT_TO_NOTHING < given <= 1 + _NEXT_TO_NOTHING or kept + given > 1 + _UNEVEN:
        return answer
    if complete and abs(kept - 1) <= abs(kept + given - 1):
        return answer
    left = 1 - given
    if left < _NEXT_TO_NOTHING:
        return Answer((None,) * len(answer.scores))
    shared = (None if one is None else one - math.log(left) if logs else one / left for one in answer.scores)
    return Answer(tuple(shared))
