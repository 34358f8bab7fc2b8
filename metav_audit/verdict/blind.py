"""Blind controls: models that a third party vouches are independent, scored by the suspect's own rule.

Whoever made a bundle also chose the models that calibrate it. Controls are models that they did not choose: the share
of them that would be a match is the false-positive rate that an outsider sees. Their answers to the fingerprint stand
in ``blind-controls.json`` beside the suspect's transcript, so that the verdict follows from the folder's files alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from metav_audit.errors import EvidenceError
from metav_audit.files import read_regular, strict_json
from metav_audit.statistics import clopper_pearson, conformal_tail
from metav_audit.task import (
    Answer,
    BoolArray,
    Features,
    OutputSpace,
    OutputView,
    ScoreKind,
    ViewRules,
    features,
    find_view,
)
from metav_audit.verdict.rules import RULES, Rules

FORMAT = "metav-audit-controls"
SCHEMA_VERSION = 1
MAX_CONTROLS_BYTES = 1 << 28
MAX_CONTROLS = 10_000


@dataclass(frozen=True, slots=True)
class ControlModel:
    """One control's answers to the fingerprint.

    Attributes:
        name: what its supplier calls it.
        scores: in which form the answers are written.
        answers: one a query, None where there is none.
        source_sha256: of the transcript or the file that the answers were taken from.
        observed: whether the auditor asked it as the suspect was asked; else its answers are the supplier's word.
    """

    name: str
    scores: ScoreKind
    answers: tuple[Answer | None, ...]
    source_sha256: str
    observed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Describe the control in JSON types."""
        rows = [None if answer is None else list(answer.scores) for answer in self.answers]
        shared = {"name": self.name, "scores": self.scores.value, "answers": rows, "source_sha256": self.source_sha256}
        return {**shared, "observed": self.observed}

    @classmethod
    def from_json(cls, fields: Any) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or misstated.
        """
        answers = tuple(None if row is None else Answer(tuple(map(_score, row))) for row in fields["answers"])
        observed = fields.get("observed", False)
        if not isinstance(observed, bool):
            raise ValueError("whether it was observed")
        return cls(str(fields["name"]), ScoreKind(fields["scores"]), answers, str(fields["source_sha256"]), observed)


@dataclass(frozen=True, slots=True)
class Controls:
    """All controls of one audit, and the bundle whose fingerprint they answered."""

    bundle_sha256: str
    models: tuple[ControlModel, ...]

    def to_bytes(self) -> bytes:
        """Write them as canonical JSON."""
        shared = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "bundle_sha256": self.bundle_sha256}
        fields = {**shared, "models": [model.to_json() for model in self.models]}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"

    @property
    def sha256(self) -> str:
        """SHA-256 of ``to_bytes``, in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def load_controls(path: Path) -> Controls | None:
    """Read ``blind-controls.json``; None where there is no such file.

    Raises:
        EvidenceError: it is oversized, damaged or none of ours.
    """
    try:
        fields = strict_json(read_regular(path, MAX_CONTROLS_BYTES))
        if (fields["format"], fields["schema_version"]) != (FORMAT, SCHEMA_VERSION):
            raise ValueError("its format")
        models = tuple(map(ControlModel.from_json, fields["models"]))
        return Controls(str(fields["bundle_sha256"]), models)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"{path} is damaged, it lacks or misstates {error}: ask the controls again") from error


@dataclass(frozen=True, slots=True)
class BlindControls:
    """What the suspect's own rule says of the controls.

    Attributes:
        models: controls that could be scored as the suspect was.
        matches: those of them that would be a match.
        matched: their names.
        left_out: a sentence for each control that could not be scored.
        promised: the bundle's promised rate of false matches.
        interval: the 95 % Clopper-Pearson interval of the false-positive rate; None without any model.
        chance: the share of honest bundles that at least so many matches would come about with, if the controls are
            models like the calibration's independents.
        sha256: of the controls' answers.
        observed: those of the models that the auditor asked; the others' answers are their supplier's word.
    """

    models: int
    matches: int
    matched: tuple[str, ...]
    left_out: tuple[str, ...]
    promised: float
    interval: tuple[float, float] | None
    chance: float
    sha256: str
    observed: int

    @classmethod
    def from_json(cls, fields: Any) -> Self:
        """Read the fields as JSON has them."""
        interval = fields["interval"]
        texts = {name: tuple(fields[name]) for name in ("matched", "left_out")}
        return cls(**{**fields, **texts, "interval": None if interval is None else tuple(interval)})

    def failures(self, rules: Rules = RULES) -> tuple[str, ...]:
        """Return a sentence for each reason not to give a verdict; none where the controls bear the promise out."""
        return tuple(self._failures(rules))

    def _failures(self, rules: Rules) -> Iterator[str]:
        if self.models < rules.minimum_blind_controls:
            yield (
                f"only {self.models} blind controls could be scored: no verdict is given with fewer than "
                f"{rules.minimum_blind_controls}"
            )
        if self.contradicts(rules):
            yield (
                f"the blind controls contradict the promised rate of false matches, {self.promised:.1%}: {self}; so "
                f"many would come about with {self.chance:.2g} of all honest bundles"
            )

    def contradicts(self, rules: Rules = RULES) -> bool:
        """Say whether so many matches are hardly possible if the bundle keeps its promise."""
        return self.chance <= rules.blind_chance

    def __str__(self) -> str:
        """Say what was seen in one line."""
        if self.interval is None:
            return "no blind control could be scored"
        low, high = self.interval
        unseen = self.models - self.observed
        word = f"; the answers of {unseen} were not observed, they are their supplier's word" if unseen else ""
        return (
            f"{self.matches} of {self.models} blind controls would be a match, a false-positive rate of "
            f"{self.matches / self.models:.1%} (95 % interval {low:.1%} to {high:.1%}){word}"
        )


def score_controls(
    controls: Controls,
    space: OutputSpace,
    view: OutputView,
    answered: BoolArray,
    judge: Callable[[Features], str],
    promised: float,
    lineages: int,
    doubts: Callable[[Features], str | None],
    rules: Rules = RULES,
) -> BlindControls:
    """Judge each control as if it were the suspect: through the same view, on the same queries, by the same rule.

    What no model of the task would answer is no control, and a model under several names counts once.

    Args:
        controls: the controls' answers.
        space: what the models put out.
        view: what the suspect's API shows.
        answered: bool of shape (N,), the queries that the suspect answered.
        judge: the suspect's own rule.
        promised: the rate of false matches that the bundle promises.
        lineages: the independent lineages of its calibration.
        doubts: says why full answers are not those of a model of the task; None where they may be.
        rules: how it is found what a control's answers show.

    Raises:
        AnswerError: an answer does not fit the task.
        EvidenceError: a control has more or fewer queries than the suspect.
    """
    matched, left_out, counted = [], [], _Counted(doubts, rules.same_control)
    for number, model in enumerate(controls.models):
        # Each has noise of its own.
        own = replace(view, seed=view.seed + 2 + number)
        shown, complaint = _comparable(model, space, own, answered, rules.views)
        complaint = complaint or counted.objection(model, features(model.answers, space, model.scores))
        if complaint:
            left_out.append(f"{model.name}: {complaint}")
            continue
        if judge(shown) == "match":
            matched.append(model.name)
    hits, models, texts = len(matched), len(counted.models), (tuple(matched), tuple(left_out))
    interval = clopper_pearson(hits, models) if models else None
    chance = conformal_tail(hits, models, lineages, promised)
    observed = sum(model.observed for model in counted.models)
    return BlindControls(models, hits, *texts, promised, interval, chance, controls.sha256, observed)


class _Counted:
    """The controls that count so far."""

    def __init__(self, doubts: Callable[[Features], str | None], same: float) -> None:
        self.models: list[ControlModel] = []
        self._doubts, self._same = doubts, same
        self._answers: list[Features] = []

    def objection(self, model: ControlModel, full: Features) -> str:
        """Say why a control does not count; count it where nothing speaks against it."""
        doubt = self._doubts(full)
        if doubt is not None:
            return doubt
        for other, earlier in zip(self.models, self._answers, strict=True):
            both = full.mask & earlier.mask
            if both.any() and np.abs(full.values - earlier.values)[both].max() <= self._same:
                return f"it answers as {other.name} does: a model counts once"
        self.models.append(model)
        self._answers.append(full)
        return ""


def _comparable(
    model: ControlModel, space: OutputSpace, view: OutputView, answered: BoolArray, rules: ViewRules
) -> tuple[Features, str]:
    """Show a control's answers as the suspect's were shown; a complaint says why that cannot be done."""
    if len(model.answers) != len(answered):
        raise EvidenceError(f"control {model.name} has {len(model.answers)} answers to {len(answered)} queries")
    full = features(model.answers, space, model.scores)
    if not full.answered[answered].all():
        return full, "it left queries unanswered that the endpoint answered"
    if not find_view(model.answers, space, model.scores, rules).shows_all_of(view):
        return full, f"it shows less than the endpoint, which shows {view.words(space)}"
    mask = full.mask & answered[:, None]
    return view.apply(Features(np.where(mask, full.values, 0).astype(np.float32), mask), space), ""


def _score(value: Any) -> float | None:
    if value is None or type(value) in (int, float):
        return None if value is None else float(value)
    raise ValueError("an answer's scores")


def check_names(names: Sequence[str]) -> None:
    """Raise ValueError where two controls share a name, or there are too many or none."""
    if not 0 < len(names) <= MAX_CONTROLS:
        raise ValueError(f"between 1 and {MAX_CONTROLS} controls are needed, not {len(names)}")
    if len(set(names)) < len(names):
        raise ValueError("two controls have the same name: a model counts once")
