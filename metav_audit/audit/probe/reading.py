"""What responses that have come can mean: every place, kind of score and map of labels is tried on all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metav_audit.adapter import Adapter, Place, Response
from metav_audit.audit.probe.labels import Matching, apply, matchings
from metav_audit.bundle import NaturalInputs
from metav_audit.errors import FOREIGN
from metav_audit.task import (
    Answer,
    ClassScores,
    Features,
    FloatArray,
    OutputSpace,
    ScoreKind,
    TaskSpec,
    check_answer,
    features,
    find_view,
)
from metav_audit.verdict import rightness, strangeness

_LEAST_CORRELATED = 4
"""Values of fewer inputs do not tell whether they go as the target's do."""
_BLANK = "\0"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back for some natural inputs.

    Attributes:
        inputs: which of them were sent.
        response: what holds their answers.
    """

    inputs: tuple[int, ...]
    response: Response


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read all responses.

    Attributes:
        options: the adapter's options that say so: place, kind of score, labels.
        answers: what it reads, in the order in which inputs were sent.
        features: the same in canonical features of the task, (K, D).
        kind: the kind of score.
        right: the share of inputs that are answered rightly, or how far values go with the target's.
        told: how many answers ``right`` is told from.
        strangeness: how unlike its scores are to those that models of the task give; about as like up to 1.
        matching: how the API's labels are read, where it has labels.
        agreement: the same with no answer left out: what is told of the endpoint.
        strange: labels of the API of which it is not known what they stand for.
        unseen: labels of the task of which it is not known what the API calls them.
    """

    options: Mapping[str, Any]
    answers: tuple[Answer, ...]
    features: Features
    kind: ScoreKind
    right: float
    told: int
    agreement: float
    strangeness: float = 0.0
    matching: Matching | None = None
    strange: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def usual(self) -> bool:
        """Whether its scores are about those that models of the task give."""
        return self.strangeness <= 1

    @property
    def as_a_constant(self) -> bool:
        """Whether one answer for all inputs would be as right."""
        return self.matching is not None and self.matching.right <= self.matching.constant

    @property
    def rank(self) -> tuple[float, ...]:
        """What tells readings of the same responses apart: rightness, then scores, usual ones, labels as named."""
        by = 0 if self.matching is not None and self.matching.by == "agreement" else 1
        shown = float(self.features.mask.sum())
        sure = self.right if self.told else 0.5
        return (round(sure, 6), self.kind is not ScoreKind.LABEL, self.usual, by, shown)


def readings(
    adapter: type[Adapter], task: TaskSpec, options: Mapping[str, Any], seen: Sequence[Seen], natural: NaturalInputs
) -> list[Reading]:
    """Return every way to read all responses with an adapter, the best first.

    Args:
        adapter: whose options are sought.
        task: what inputs and answers are of.
        options: with which the requests were written.
        seen: what came back.
        natural: the inputs that were sent, and the target's own answers.
    """
    asked = [at for each in seen for at in each.inputs]
    found = [
        reading
        for place in _shared_places(adapter, task, options, seen)
        for reading in _read(adapter, task, {**options, **place.options}, place, seen, asked, natural)
    ]
    return sorted(found, key=lambda each: tuple(-part for part in each.rank))


def _shared_places(
    adapter: type[Adapter], task: TaskSpec, options: Mapping[str, Any], seen: Sequence[Seen]
) -> Iterator[Place]:
    """Yield the places that every response has, each with all labels that were seen there."""
    counts: dict[str, int] = {}
    merged: dict[str, Place] = {}
    for each in seen:
        for key, place in _places(adapter, task, options, each).items():
            earlier = merged.get(key)
            labels = place.labels
            if earlier is not None and earlier.labels is not None and labels is not None:
                labels = tuple(dict.fromkeys([*earlier.labels, *labels]))
            counts[key] = counts.get(key, 0) + 1
            merged[key] = Place(place.options, labels)
    for key, place in merged.items():
        if counts[key] == len(seen) and all(place.labels or ("one",)):
            yield place


def _places(adapter: type[Adapter], task: TaskSpec, options: Mapping[str, Any], seen: Seen) -> dict[str, Place]:
    try:
        opened = adapter.open(task, options)
        places = list(opened.places(seen.response, len(seen.inputs)))
        return {json.dumps(dict(place.options), sort_keys=True): place for place in places}
    # A stranger's adapter may raise anything, and a stranger's response make it.
    except FOREIGN:
        return {}


def _read(
    adapter: type[Adapter],
    task: TaskSpec,
    options: Mapping[str, Any],
    place: Place,
    seen: Sequence[Seen],
    asked: list[int],
    natural: NaturalInputs,
) -> Iterator[Reading]:
    space, names = task.output, place.labels
    own = TaskSpec(task.domain, _space(space, names))
    kinds = [ScoreKind(options["scores"])] if "scores" in options else list(space.score_kinds)
    for kind in kinds:
        written = {**options, "scores": kind.value}
        answers = _decoded(adapter, own, written, seen)
        if answers is None or (kind is ScoreKind.LOGIT and _are_shares(answers)):
            continue
        shown, reference = features(answers, own.output, kind), natural.reference[asked]
        if not space.labelled:
            yield _of_values(written, answers, shown, kind, natural, asked, space)
            return
        for matching in matchings(shown, names, space.labels, reference.astype(np.float64)):
            reading = _of_labels(written, answers, shown, kind, natural, asked, space, matching, names)
            if reading.options.keys() <= adapter.Options.model_fields.keys():
                yield reading
        return


def _space(space: OutputSpace, names: tuple[str, ...] | None) -> OutputSpace:
    """Return the space of an API's own labels; one alone gets a second, for a classification has two."""
    if names is None or not space.labelled:
        return space
    return ClassScores(names if len(names) > 1 else (*names, _BLANK))


def _decoded(
    adapter: type[Adapter], task: TaskSpec, options: Mapping[str, Any], seen: Sequence[Seen]
) -> list[Answer] | None:
    """Return all answers if the adapter reads every response as these options say, else None."""
    try:
        opened = adapter.open(task, options)
        answers = [answer for each in seen for answer in opened.decode(each.response, len(each.inputs))]
        for answer in answers:
            check_answer(answer, task.output, opened.options.scores)
    # A stranger's adapter may raise anything, and a stranger's response make it.
    except FOREIGN:
        return None
    return answers if len(answers) == sum(len(each.inputs) for each in seen) else None


def _are_shares(answers: Sequence[Answer]) -> bool:
    """Say whether numbers are rather shares of something than logits: none below 0, and no more than 1 or one sum."""
    rows = np.array([[np.nan if score is None else score for score in answer.scores] for answer in answers])
    sums = np.nansum(rows, axis=1)
    return bool(
        np.nanmin(rows) >= 0 and (np.nanmax(rows) <= 1 or (len(rows) > 1 and np.ptp(sums) <= 0.02 * sums.mean()))
    )


def _of_values(
    options: Mapping[str, Any],
    answers: list[Answer],
    shown: Features,
    kind: ScoreKind,
    natural: NaturalInputs,
    asked: list[int],
    space: OutputSpace,
) -> Reading:
    reference: FloatArray = natural.reference[asked]
    models = natural.models[:, asked]
    enough = len(asked) >= _LEAST_CORRELATED
    right = rightness(shown, reference, models, space) if enough else 0.0
    return Reading(options, tuple(answers), shown, kind, right, len(asked) if enough else 0, right)


def _of_labels(
    options: Mapping[str, Any],
    answers: list[Answer],
    shown: Features,
    kind: ScoreKind,
    natural: NaturalInputs,
    asked: list[int],
    space: OutputSpace,
    matching: Matching,
    names: tuple[str, ...] | None,
) -> Reading:
    mapped = apply(matching.places, shown, space.size)
    some = bool(mapped.answered.any())
    agreement = rightness(mapped, natural.reference[asked], natural.models[:, asked], space) if some else 0.0
    strange = _unplaced(matching, names or space.labels)
    known = {place for at, place in enumerate(matching.places) if at not in matching.unsure}
    unseen = tuple(label for at, label in enumerate(space.labels) if matching.by == "agreement" and at not in known)
    said = {**options, **_said(matching, names, space.labels)}
    view = find_view(answers, space, kind)
    unlike = strangeness(mapped, natural.reference[asked], natural.models[:, asked], space, view)
    return Reading(
        said,
        tuple(answers),
        mapped,
        kind,
        matching.share,
        matching.told,
        agreement,
        unlike,
        matching,
        strange,
        unseen,
    )


def _said(matching: Matching, names: tuple[str, ...] | None, labels: Sequence[str]) -> dict[str, Any]:
    """Return the options ``label_map`` or ``order`` that a matching needs, none where names are the task's own."""
    if names is None:
        usual = matching.places == tuple(range(len(labels)))
        return {} if usual else {"order": [labels[place] for place in matching.places]}
    pairs = {name: labels[place] for name, place in zip(names, matching.places, strict=False) if place >= 0}
    if matching.by == "number":
        pairs = _all_numbers(names, matching, labels)
    changed = {name: label for name, label in pairs.items() if name != label}
    inverse = {label: at for at, label in enumerate(labels)}
    ordered = dict(sorted(changed.items(), key=lambda pair: inverse[pair[1]]))
    return {"label_map": ordered} if ordered else {}


def _all_numbers(names: tuple[str, ...], matching: Matching, labels: Sequence[str]) -> dict[str, str]:
    """Return the map of numbered labels, those that were not seen yet among them."""
    name, place = names[0], matching.places[0]
    digits = "".join(each for each in name if each.isdigit())
    head, _, tail = name.rpartition(digits)
    first = int(digits) - place
    return {f"{head}{at + first}{tail}": label for at, label in enumerate(labels)}


def _unplaced(matching: Matching, names: tuple[str, ...]) -> tuple[str, ...]:
    places = zip(names, matching.places, strict=False)
    return tuple(name for at, (name, place) in enumerate(places) if place < 0 or at in matching.unsure)
