"""What a probe found: an endpoint that can be asked, how right it is, what it shows, and how that was found."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metav_audit.audit.probe.reading import Reading
from metav_audit.bundle import SOURCES
from metav_audit.progress import printable
from metav_audit.task import ScoreKind, TaskSpec, find_view

_NAMES = {
    ScoreKind.PROBABILITY: "probabilities",
    ScoreKind.PERCENT: "percents",
    ScoreKind.LOGIT: "logits",
    ScoreKind.LOG_PROBABILITY: "log-probabilities",
    ScoreKind.LABEL: "labels",
    ScoreKind.VALUE: "values",
}
_TABLES = ("label_map", "poll", "headers")
_WIDTH = 34
_WHY = {
    "adapter": "the protocol",
    "url": "",
    "body": "the request; the slot is where the input goes",
    "encoding": "how an input is written",
    "datatype": "of the input tensor",
    "flat": "one row of numbers an input",
    "layout": "where an image's channels stand",
    "colours": "in which order they stand",
    "scale": "multiplied to the task's own numbers",
    "offset": "added to them",
    "whole": "numbers without decimals",
    "upload": "a form's file field",
    "batch": "inputs in one request",
    "answer": "where the answer lies in the response",
    "label_key": "the key of a label, or of a list of them",
    "score_key": "the key of a score, or of a list of them",
    "scores": "what kind of scores the API gives",
    "label_map": "the API's labels -> the task's",
    "order": "the labels in the API's own order",
    "poll": "a request submits a job; its result is fetched so",
    "ca": "the authority that TLS trusts",
    "cert": "who asks",
    "headers": "secrets are environment variables, never values",
}


@dataclass(frozen=True, slots=True)
class Found:
    """An endpoint that a probe set up.

    Attributes:
        name: its name in the file.
        fields: its table in an endpoint file.
        reading: how its answers are read.
        task: what it takes and gives.
        source: whose the natural inputs are.
        requests: how many were sent.
    """

    name: str
    fields: Mapping[str, Any]
    reading: Reading
    task: TaskSpec
    source: str
    requests: int

    @property
    def view(self) -> str:
        """What it shows, in a few words."""
        kind, space = self.reading.kind, self.task.output
        view = find_view(self.reading.answers, space, kind)
        return view.words(space) if kind is ScoreKind.LABEL else f"{_NAMES[kind]}, {view.words(space)}"

    @property
    def accuracy(self) -> str:
        """How well it does the task, in a few words."""
        asked = len(self.reading.answers)
        answered = int(self.reading.features.answered.sum())
        said = self.task.output.achieved(self.agreement, answered)
        return f"{asked} natural inputs answered, {said}"

    @property
    def agreement(self) -> float:
        """The share of natural inputs that it labels as the target does; of values, their correlation with its."""
        return self.reading.agreement

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a person should look at, a sentence each."""
        return tuple(self._doubts())

    def _doubts(self) -> Iterator[str]:
        reading = self.reading
        if reading.matching is not None and reading.matching.by == "agreement":
            borne = f"{round(reading.right * reading.told)} of {reading.told}"
            yield f"labels were matched by answers, not by names; {borne} answers bear it out"
        if not reading.usual:
            yield "the scores are unlike those of the task's models: see to the range of the numbers that are sent"
        if reading.unseen:
            missing = ", ".join(repr(label[:40]) for label in reading.unseen[:5])
            yield f"{missing} did not come up: add to label_map what the API calls them"

    def text(self) -> str:
        """Write the endpoint file: TOML, with what each line is for."""
        notes = [
            f"{self.accuracy}.",
            f"The inputs are {SOURCES[self.source]}; {self.requests} requests were sent.",
            f"The API shows: {self.view}.",
            *(f"See to it: {doubt}." for doubt in self.doubts),
        ]
        lines = [line for note in notes for line in textwrap.wrap(printable(note), 78, initial_indent="# ",
                 subsequent_indent="#   ", break_on_hyphens=False)]  # fmt: skip
        lines += ["", f"[endpoints.{_key(self.name)}]"]
        tables = {name: value for name, value in self.fields.items() if name in _TABLES}
        for name in sorted(self.fields.keys() - tables.keys(), key=_place):
            lines += _line(name, self.fields[name])
        for name in sorted(tables, key=_place):
            lines += ["", f"[endpoints.{_key(self.name)}.{name}]  # {_WHY[name]}"]
            lines += [f"{_key(key)} = {toml(value)}" for key, value in tables[name].items()]
        return "\n".join(lines) + "\n"


def _place(name: str) -> int:
    return list(_WHY).index(name) if name in _WHY else -1


def _line(name: str, value: Any) -> list[str]:
    """Write an option with what it is for: behind it where there is room, else above."""
    written, why = f"{_key(name)} = {toml(value)}", f"# {_WHY[name]}" if _WHY.get(name) else ""
    if len(written) > _WIDTH:
        return [why, written] if why else [written]
    return [f"{written:{_WIDTH}}  {why}".rstrip()]


def toml(value: Any) -> str:
    """Write a value of JSON types in one line of TOML, in ASCII.

    >>> toml({"a b": ["x", 1, True], "n": 0.5})
    '{ "a b" = ["x", 1, true], n = 0.5 }'
    """
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_key(name)} = {toml(part)}" for name, part in value.items() if part is not None) + " }"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else _text(name)


def _text(text: str) -> str:
    """Write a basic string: what is not printable ASCII as an escape."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return "\\uFFFD"
    return character if 0x20 <= code < 0x7F else f"\\U{code:08X}"
