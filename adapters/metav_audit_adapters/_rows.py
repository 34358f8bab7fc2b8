"""Reading one answer in whichever of three forms an API writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from metav_audit.adapter import read_scores
from metav_audit.errors import AnswerError
from metav_audit.responses import Answer


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads a list of numbers, an object {label: score}, or a list of labelled scores.

    Attributes:
        labels: the task's labels, in order.
        label_map: the API's labels -> the task's; a label that is not in it stands for itself.
        label_key: the key of the label in a labelled score.
        score_key: the key of the score in a labelled score.
    """

    labels: tuple[str, ...]
    label_map: Mapping[str, str]
    label_key: str
    score_key: str

    def read(self, row: Any) -> Answer:
        """Read one answer; a class the row does not name is None, never 0.

        Raises:
            AnswerError: the row has none of the forms, names an unknown label, or one label twice.
        """
        if isinstance(row, dict):
            return self._labelled(row.items())
        if isinstance(row, list) and any(isinstance(part, dict) for part in row):
            return self._labelled(self._pair(part) for part in row)
        return read_scores(row)

    def _labelled(self, pairs: Iterable[tuple[Any, Any]]) -> Answer:
        scores: dict[str, Any] = {}
        for remote, score in pairs:
            label = self._label(remote)
            if label in scores:
                raise AnswerError(f"an answer names the label {label!r} twice")
            scores[label] = score
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
