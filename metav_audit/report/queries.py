"""Query by query: the target's answer, the suspect's, and what is usual on either side of the calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from statistics import fmean
from typing import Any

import numpy as np

from metav_audit.bundle import FingerprintBundle
from metav_audit.report.model import Query
from metav_audit.task import Features, FloatArray, GeneratedTensor, ImageDomain, OutputSpace
from metav_audit.transcript import Exchange


@dataclass(frozen=True, slots=True)
class _Answered:
    """What Query says of an answer; None throughout where there is none."""

    suspect: tuple[float | None, ...] | None = None
    suspect_label: str | None = None
    agrees: bool | None = None
    divergence: float | None = None


def build_queries(bundle: FingerprintBundle, exchanges: Sequence[Exchange], shown: Features) -> tuple[Query, ...]:
    """Return one value an input, in order; ``shown`` are the answers as canonical features."""
    space = bundle.task.output
    seen = zip(_pictures(bundle, shown), bundle.task.domain.rows(bundle.inputs) or repeat(None), strict=False)
    queries = []
    usual = zip(_usual(bundle, derived=True), _usual(bundle, derived=False), strict=True)
    parts = zip(exchanges, seen, bundle.reference, usual, strict=True)
    for exchange, looks, reference, medians in parts:
        answer = _Answered()
        if exchange.answer is not None:
            answer = _compare(reference, shown, exchange.query, space)
        queries.append(_query(exchange, looks, _shown(reference, space), _label(reference, space), answer, medians))
    return tuple(queries)


def _pictures(bundle: FingerprintBundle, shown: Features) -> Sequence[bytes | None]:
    """Return the inputs as pictures; of generated images the target's, and beside it the suspect's."""
    space = bundle.task.output
    if not isinstance(space, GeneratedTensor) or not space.is_picture:
        return bundle.task.domain.png(bundle.inputs) or [None] * len(bundle.inputs)
    pair = [each.reshape(-1, *space.shape) for each in (bundle.reference, np.where(shown.mask, shown.values, 0.5))]
    channels, height, width = space.shape
    return ImageDomain(channels, height, 2 * width, -0.5, 0.5).png(np.concatenate(pair, axis=3).astype(np.float32))


def _compare(reference: FloatArray, shown: Features, query: int, space: OutputSpace) -> _Answered:
    values, mask = shown.values[query], shown.mask[query]
    label = _label(np.where(mask, values, -np.inf), space)
    suspect = tuple(value if there else None for value, there in zip(_shown(values, space), mask.tolist(), strict=True))
    divergence = figure(float(space.distance(reference, values))) if mask.all() else None
    return _Answered(suspect, label, None if label is None else label == _label(reference, space), divergence)


def _label(features: FloatArray, space: OutputSpace) -> str | None:
    """Name the class to which most is given; None where the task has none."""
    return space.labels[int(features.argmax())] if space.labelled else None


def _usual(bundle: FingerprintBundle, *, derived: bool) -> list[float]:
    """Return, for each query, the median distance of one side's calibration models from the target."""
    space = bundle.task.output
    members = [index for index, card in enumerate(bundle.calibration.models) if card.derived == derived]
    # One model at a time: all of them at once need not fit into memory.
    distances = [space.distance(bundle.calibration.features[index], bundle.reference) for index in members]
    return [figure(value) for value in np.median(distances, axis=0).tolist()]


def _query(
    exchange: Exchange,
    looks: tuple[bytes | None, Mapping[str, Any] | None],
    target: tuple[float, ...],
    label: str | None,
    answer: _Answered,
    medians: tuple[float, float],
) -> Query:
    attempts = exchange.attempts
    status = "answered" if answer.suspect else "unanswered" if exchange.reason else "open"
    return Query(
        number=exchange.query,
        picture=looks[0],
        row=looks[1],
        status=status,
        reason=exchange.reason,
        target=target,
        suspect=answer.suspect,
        target_label=label,
        suspect_label=answer.suspect_label,
        agrees=answer.agrees,
        divergence=answer.divergence,
        derived_divergence=medians[0],
        independent_divergence=medians[1],
        sent=attempts[0].sent if attempts else None,
        attempts=len(attempts),
        http_status=attempts[-1].status if attempts else None,
        elapsed_s=_total(attempt.elapsed_s for attempt in attempts),
        response_sha256=attempts[-1].response_sha256 if attempts and answer.suspect else None,
    )


def _shown(features: FloatArray, space: OutputSpace) -> tuple[float, ...]:
    return tuple(figure(value) for value in space.shown(features).tolist())


def figure(value: float) -> float:
    """Cut a figure to twelve digits: what lies beyond is the machine's own rounding."""
    return float(f"{value:.12g}")


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return figure(sum(known)) if known else None


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that there are; None without any."""
    known = [value for value in values if value is not None]
    return figure(fmean(known)) if known else None
