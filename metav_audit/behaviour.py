"""Whether an endpoint's answers are those of one model, and of a model of the task at all.

Pure functions of bundle and transcript. Each finding is a sentence that leads to "inconclusive": answers that
never change, that come from several models, or that no model of the task would give, are evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from metav_audit.bundle import FingerprintBundle
from metav_audit.responses import Features
from metav_audit.transcript import Transcript

_MACHINE_NAMES = {"server", "x-powered-by"}
"""Names of the software in front of a model; balanced servers may differ in them."""

CONSTANT = 1e-4
"""Nats within which answers to different inputs count as the same answer."""


def find_faults(bundle: FingerprintBundle, transcript: Transcript, shown: Features) -> tuple[str, ...]:
    """Return a sentence for each reason to believe that the answers are not those of one model of the task.

    Args:
        bundle: what was asked.
        transcript: what came back.
        shown: the canonical features of its answers.
    """
    return (
        *_renamed(transcript.identities),
        *_constant(shown),
        *_strange(bundle, shown),
    )


def _renamed(identities: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for name in sorted({name for identity in identities for name in identity} - _MACHINE_NAMES):
        values = sorted({identity[name] for identity in identities if name in identity})
        if len(values) > 1:
            yield f"the server named itself differently during the run: {name} was {' and '.join(values[:3])}"


def _constant(shown: Features) -> Iterator[str]:
    rows = shown.values[shown.mask.all(axis=1)]
    if len(rows) > 1 and np.ptp(rows, axis=0).max() < CONSTANT:
        yield "every input gets the same answer: no model of the task answers so"


def _strange(bundle: FingerprintBundle, shown: Features) -> Iterator[str]:
    """Compare the log-probability given to the labels that most calibration models give with what those models give.

    An endpoint far below the lowest of them, by half as much again as they spread, is no model of the task.
    """
    answered = shown.answered
    values = bundle.calibration.features[:, answered]
    if values.shape[1] == 0:
        return
    votes = np.eye(values.shape[2])[values.argmax(axis=2)].sum(axis=0)
    usual = votes.argmax(axis=1)
    rows = np.arange(len(usual))
    seen, known = shown.values[answered][rows, usual], shown.mask[answered][rows, usual]
    if not known.any():
        return
    others = values[:, rows[known], usual[known]].mean(axis=1)
    suspect = float(seen[known].mean())
    floor = others.min() - 0.5 * (np.median(others) - others.min())
    if suspect < floor:
        yield "the answers are unlike those of any model of this task, derived or independent"
