"""Glances: a few queries a night, and an audit only where their answers moved, or its time has come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle
from metav_audit.watch.compare import far_apart
from metav_audit.watch.sighting import Sighting

QUERIES = 3
"""Queries of a glance."""


@dataclass(frozen=True, slots=True)
class Glanced:
    """A glance at which nothing had moved.

    Attributes:
        requests: sent, retries included.
    """

    requests: int


def telling(bundle: FingerprintBundle) -> NDArray[np.int64]:
    """Return all queries, those first whose answers differ most from model to model of the calibration.

    What counts is how far a model's answer lies from the median answer, in the median of the models: a query to which
    most models say something of their own moves with whatever model comes next.
    """
    answers = bundle.calibration.features.astype(np.float64)
    shown = np.exp(answers) if bundle.task.output.labelled else answers
    apart = np.abs(shown - np.median(shown, axis=0)).max(axis=2)
    order = np.argsort(-np.median(apart, axis=0), kind="stable")
    return np.asarray(order, dtype=np.int64)


def chosen(bundle: FingerprintBundle, reference: Sighting) -> NDArray[np.int64]:
    """Return the most telling queries that an audit answered: it may have stopped early."""
    order = telling(bundle)
    return order[~np.isnan(reference.answers[order]).all(axis=1)][:QUERIES]


def name_of(bundle: FingerprintBundle) -> str:
    """Return what stands for the queries of a glance in its transcript."""
    return hashlib.sha256(f"glance {bundle.sha256}".encode()).hexdigest()


def has_moved(reference: Sighting, queries: NDArray[np.int64], answers: NDArray[np.float32]) -> bool:
    """Say whether any of a glance's answers differs from the reference's beyond rounding, tolerance and noise.

    One is enough: it costs an audit, which alone says whether anything changed. What is not told counts as moved.

    Args:
        reference: what endpoint and bundle showed in the audit that others are compared with.
        queries: their numbers, of shape (n,).
        answers: canonical features, float32 of shape (n, D), NaN where nothing was shown.
    """
    if not len(queries) or np.isnan(answers).all(axis=1).any():
        return True
    one, other = replace(reference, answers=reference.answers[queries]), replace(reference, answers=answers)
    return bool(far_apart(one, other)[1].any())
