"""Reading one answer in whichever of three forms an API writes it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

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
from metav_audit_adapters._shared import refused


class LabelOptions(AdapterOptions):
    """How an API's labels are read."""

    label_map: dict[str, str] = Field(default_factory=dict, description="the API's labels -> the task's labels")
    order: tuple[str, ...] | None = Field(
        None, description="the task's labels in the order of a bare list of scores; the task's own order if absent"
    )


NUMBER = re.compile(r"\s*([+-]?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,3})?)\s*(%?)\s*")


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads a list of numbers, an object {label: score}, one labelled score or a list of them, or two parallel lists.

    A number may stand in a text, with a percent sign where the scores are percents.

    Attributes:
        labels: the task's labels, in order.
        label_map: the API's labels -> the task's; a label that is not in it stands for itself.
        label_key: the key of the label in a labelled score.
        score_key: the key of the score in a labelled score.
        alone: whether an answer is declared to be a bare label, without any score.
        values: the output space of answers that are values and no scores; None for scores.
        percent: whether the scores are percents.
        order: the labels in the order of a bare list.
    """

    labels: tuple[str, ...]
    label_map: Mapping[str, str]
    label_key: str = "label"
    score_key: str = "score"
    alone: bool = False
    values: OutputSpace | None = None
    percent: bool = False
    order: tuple[str, ...] | None = None

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
            ConfigurationError: ``label_map`` leads to a label that the task lacks, or ``order`` does not name them all.
        """
        unknown = sorted(set(options.label_map.values()) - set(task.output.labels))
        if unknown:
            raise refused(adapter, "label_map", f"the task has no label {unknown[0]!r}")
        if options.order is not None and sorted(options.order) != sorted(task.output.labels):
            raise refused(adapter, "order", "it must name each of the task's labels once")
        values = task.output if options.scores is ScoreKind.VALUE else None
        alone = options.scores is ScoreKind.LABEL
        percent = options.scores is ScoreKind.PERCENT
        return cls(task.output.labels, options.label_map, label_key, score_key, alone, values, percent, options.order)

    def read_all(self, rows: Any, count: int) -> list[Answer]:
        """Read a list of ``count`` answers.

        Raises:
            AnswerError: it is no list, has another length, or an answer cannot be read.
        """
        if not isinstance(rows, list):
            raise AnswerError(f"the answers are not a list but {type(rows).__name__}: check where they lie")
        if len(rows) != count:
            raise AnswerError(f"{count} inputs were sent, {len(rows)} answers came back")
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
        if self.alone and isinstance(row, str | int):
            return self._labelled([(row, 1.0)])
        if isinstance(row, dict):
            return self._labelled(self._pairs(row))
        if isinstance(row, list) and any(isinstance(part, dict) for part in row):
            return self._labelled(self._pair(part) for part in row)
        if self.values is None:
            return self._in_order(row)
        if isinstance(row, str) and isinstance(self.values, GeneratedTensor):
            return read_scores(self.values.from_picture(_from_base64(row)))
        return read_values(self._number(row), self.values.size)

    def _in_order(self, row: Any) -> Answer:
        """Read a bare list, in the task's order or the API's own."""
        answer = read_scores([self._number(part) for part in row] if isinstance(row, list) else row)
        if self.order is None or len(answer.scores) != len(self.order):
            return answer
        scores = dict(zip(self.order, answer.scores, strict=True))
        return Answer(tuple(scores[label] for label in self.labels))

    def _pairs(self, row: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
        """Read an object: labels with scores, or one label with its score, or a list of each, beside whatever else."""
        if self.label_key not in row or self.score_key not in row or {self.label_key, self.score_key} <= {*self.labels}:
            return row.items()
        labels, scores = row[self.label_key], row[self.score_key]
        if isinstance(labels, list) and isinstance(scores, list) and len(labels) == len(scores):
            return zip(labels, scores, strict=True)
        return [(labels, scores)]

    def _number(self, value: Any) -> Any:
        """Return what stands for a number, with texts such as "97.3 %" read."""
        found = NUMBER.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return value
        if found[2] and not self.percent:
            raise AnswerError('an answer holds percent signs: declare what the API returns (scores = "percent")')
        return float(found[1])

    def _labelled(self, pairs: Iterable[tuple[Any, Any]]) -> Answer:
        scores: dict[str, Any] = {}
        for remote, score in pairs:
            label = self._label(remote)
            if label in scores:
                raise AnswerError(f"an answer names the label {label!r} twice")
            scores[label] = self._number(score)
        return read_scores([scores.get(label) for label in self.labels])

    def _pair(self, part: Any) -> tuple[Any, Any]:
        if not isinstance(part, dict) or self.label_key not in part or self.score_key not in part:
            raise AnswerError(
                f"a labelled score lacks {self.label_key!r} or {self.score_key!r}: mend label_key and score_key"
            )
        return part[self.label_key], part[self.score_key]

    def _label(self, remote: Any) -> str:
        # Some APIs number their classes: 3 and "3" are the same label.
        text = str(remote) if isinstance(remote, str | int) and not isinstance(remote, bool) else None
        label = None if text is None else self.label_map.get(text, text)
        if label not in self.labels:
            raise AnswerError(f"an answer names the label {str(remote)[:60]!r}, which the task lacks: mend label_map")
        return label


def _from_base64(text: str) -> bytes:
    """Decode base64, which may stand in a data URL."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except ValueError:
        raise AnswerError("an answer is a text, but no picture in base64") from None


def _nests(part: Any) -> bool:
    return isinstance(part, list | dict)
