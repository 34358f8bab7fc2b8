"""Reading one answer in whichever of three forms an API writes it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import Field, StrictInt, StrictStr

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    AnswerError,
    GeneratedTensor,
    OutputSpace,
    ScoreKind,
    TaskSpec,
    read_scores,
    read_values,
)
from metav_audit_adapters._batches import check_order
from metav_audit_adapters._numbers import NUMBER, other_of_two, read_number, share_out
from metav_audit_adapters._shared import refused


class LabelOptions(AdapterOptions):
    """How an API's labels and numbers are read."""

    label_map: dict[str, str] = Field(default_factory=dict, description="the API's labels -> the task's labels")
    order: tuple[str, ...] | None = Field(
        None, description="the task's labels in the order of a bare list of scores; the task's own order if absent"
    )
    ignore: tuple[StrictStr | StrictInt, ...] | None = Field(
        None, description="classes that the task lacks: labels, or places in a bare list, from 0"
    )
    positive: str | None = Field(None, description="of two labels the one whose score is the only one that is shown")
    decimal_comma: bool | None = Field(
        None, description="numbers in texts have a decimal comma; shares and percents are read so anyway"
    )


BLANKS = " \t\r\n\N{LOWER ONE EIGHTH BLOCK}\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
"""What may surround a label: white space, and the marks that tokenizers write for it."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads a list of numbers, an object {label: score}, one labelled score or a list of them, or two parallel lists.

    A labelled score may be a pair. A number may stand in a text, with a percent sign where the scores are percents.
    What is empty shows nothing: no class came above the API's threshold.

    Attributes:
        labels: the task's labels, in order.
        options: how labels and numbers are read; a label that is not in ``label_map`` stands for itself.
        label_key: the key of the label in a labelled score.
        score_key: the key of the score in a labelled score.
        values: the output space of answers that are values and no scores; None for scores.
    """

    labels: tuple[str, ...]
    options: LabelOptions
    label_key: str = "label"
    score_key: str = "score"
    values: OutputSpace | None = None

    @classmethod
    def open(
        cls,
        adapter: type[Adapter],
        task: TaskSpec,
        options: LabelOptions,
        label_key: str = "label",
        score_key: str = "score",
    ) -> RowReader:
        """Build the reader an adapter's options describe.

        Raises:
            ConfigurationError: ``label_map`` leads to a label that the task lacks, ``order`` does not name them all,
                ``ignore`` names one of them, or ``positive`` none of two.
        """
        known = task.output.labels
        unknown = sorted(set(options.label_map.values()) - set(known))
        if unknown:
            raise refused(adapter, "label_map", f"the task has no label {unknown[0]!r}")
        if options.order is not None and sorted(options.order) != sorted(known):
            raise refused(adapter, "order", "it must name each of the task's labels once")
        if wanted := sorted({options.label_map.get(str(each), each) for each in options.ignore or ()} & set(known)):
            raise refused(adapter, "ignore", f"{wanted[0]!r} is one of the task's labels")
        if options.positive is not None and (len(known) != 2 or options.positive not in known):
            raise refused(adapter, "positive", "the task must have two labels, and this must be one of them")
        return cls(known, options, label_key, score_key, task.output if options.scores is ScoreKind.VALUE else None)

    def read_all(self, rows: Any, count: int) -> list[Answer]:
        """Read a list of ``count`` answers.

        Raises:
            AnswerError: it is no list, has another length, or an answer cannot be read.
        """
        if not isinstance(rows, list):
            raise AnswerError(f"the answers are not a list but {type(rows).__name__}: check where they lie")
        if len(rows) != count:
            raise AnswerError(f"{count} inputs were sent, {len(rows)} answers came back")
        check_order(rows, self.label_key)
        return [self.read(row) for row in rows]

    def read_loose(self, found: Any, count: int) -> list[Answer]:
        """Read what is one bare answer, or a list of ``count`` answers."""
        bare = isinstance(found, dict | str | int) or (isinstance(found, list) and not any(map(_nests, found)))
        if self.values is not None:
            bare = count == 1 and not (isinstance(found, list) and len(found) == 1)
        return self.read_all([found] if bare else found, count)

    def read(self, row: Any) -> Answer:
        """Read one answer; a class the row does not name is None, never 0.

        Raises:
            AnswerError: the row has none of the forms, names an unknown label, or one label twice.
        """
        if self.values is None and row in ([], {}):
            return Answer((None,) * len(self.labels))
        if self.options.scores is ScoreKind.LABEL and (label := self._alone(row)) is not None:
            return self._labelled([(label, 1.0)])
        if isinstance(row, dict):
            return self._labelled(self._pairs(row))
        if isinstance(row, list) and any(isinstance(part, dict) for part in row):
            return self._labelled(self._pair(part) for part in row)
        if self.values is not None:
            return self._value(row, self.values)
        return self._labelled(map(_listed, row)) if are_pairs(row) else self._in_order(row)

    def _value(self, row: Any, space: OutputSpace) -> Answer:
        """Read numbers in whatever nesting, or a picture."""
        if isinstance(row, str) and isinstance(space, GeneratedTensor):
            return read_scores(space.from_picture(_from_base64(row)))
        return read_values(self._number(row), space.size)

    def _alone(self, row: Any) -> str | int | None:
        """Return the label that is all an answer says, beside a score or not; None where there is another form."""
        if isinstance(row, list) and len(row) == 1:
            row = row[0]
        if isinstance(row, dict) and not isinstance(row.get(self.score_key), list):
            row = row.get(self.label_key)
        return row if isinstance(row, str | int) and not isinstance(row, bool) else None

    def _in_order(self, row: Any) -> Answer:
        """Read a bare list, in the task's order or the API's own; or the one score of two that is shown."""
        if self.options.positive is not None and not (isinstance(row, list) and len(row) != 1):
            return self._of_two(row[0] if isinstance(row, list) else row)
        if len(self.labels) == 2 and isinstance(row, int | float) and not isinstance(row, bool):
            raise AnswerError("an answer is a single number: declare which label it is the score of (positive = ...)")
        answer = read_scores([self._number(part) for part in row] if isinstance(row, list) else row)
        places = {each for each in self.options.ignore or () if isinstance(each, int)}
        dropped = [score for at, score in enumerate(answer.scores) if at in places]
        kept = Answer(tuple(score for at, score in enumerate(answer.scores) if at not in places))
        answer = share_out(kept, dropped, self.options.scores)
        if self.options.order is None or len(answer.scores) != len(self.options.order):
            return answer
        named = dict(zip(self.options.order, answer.scores, strict=True))
        return Answer(tuple(named[label] for label in self.labels))

    def _of_two(self, score: Any) -> Answer:
        (shown,) = read_scores([self._number(score)]).scores
        other = None if shown is None else other_of_two(shown, self.options.scores)
        return Answer((shown, other) if self.labels[0] == self.options.positive else (other, shown))

    def _pairs(self, row: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
        """Read an object: labels with scores, or one label with its score, or a list of each, beside whatever else."""
        if self.label_key not in row or self.score_key not in row or {self.label_key, self.score_key} <= {*self.labels}:
            return row.items()
        labels, scores = row[self.label_key], row[self.score_key]
        if isinstance(labels, list) and isinstance(scores, list) and len(labels) == len(scores):
            return zip(labels, scores, strict=True)
        return [(labels, scores)]

    def _number(self, value: Any) -> Any:
        return read_number(value, self.options.scores, comma=bool(self.options.decimal_comma))

    def _labelled(self, pairs: Iterable[tuple[Any, Any]]) -> Answer:
        scores: dict[str, Any] = {}
        ignored = []
        for remote, score in pairs:
            if isinstance(remote, str) and remote in (self.options.ignore or ()):
                ignored.append(self._number(score))
                continue
            label = self._label(remote)
            if label in scores:
                raise AnswerError(f"an answer names the label {label!r} twice")
            scores[label] = self._number(score)
        answer = read_scores([scores.get(label) for label in self.labels])
        return share_out(answer, ignored, self.options.scores)

    def _pair(self, part: Any) -> tuple[Any, Any]:
        if not isinstance(part, dict) or self.label_key not in part or self.score_key not in part:
            raise AnswerError(
                f"a labelled score lacks {self.label_key!r} or {self.score_key!r}: mend label_key and score_key"
            )
        return part[self.label_key], part[self.score_key]

    def _label(self, remote: Any) -> str:
        # Some APIs number their classes: 3 and "3" are the same label.
        text = str(remote) if isinstance(remote, str | int) and not isinstance(remote, bool) else None
        for spelling in () if text is None else (text, text.strip(BLANKS)):
            label = self.options.label_map.get(spelling, spelling)
            if label in self.labels:
                return label
        raise AnswerError(
            f"an answer names the label {str(remote)[:60]!r}, which the task lacks: mend label_map, or ignore it"
        )


def are_pairs(row: Any) -> bool:
    """Say whether a row is a list of pairs of label and score; a single pair needs a label that is no number."""
    if not isinstance(row, list) or not row or not all(isinstance(part, list) and len(part) == 2 for part in row):
        return False
    labels = [label for label, _ in row]
    return all(map(is_label, labels)) and (len(row) > 1 or not NUMBER.fullmatch(str(labels[0])))


def _listed(part: list[Any]) -> tuple[Any, Any]:
    label, score = part
    return label, score


def is_label(part: Any) -> bool:
    """Say whether a part of a response can name a class."""
    return isinstance(part, str) or type(part) is int


def _from_base64(text: str) -> bytes:
    """Decode base64, which may stand in a data URL."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except ValueError:
        raise AnswerError("an answer is a text, but no picture in base64") from None


def _nests(part: Any) -> bool:
    return isinstance(part, list | dict)
