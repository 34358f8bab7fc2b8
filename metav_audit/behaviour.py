"""Whether an endpoint's answers are those of one model, and of a model of the task at all.

Pure functions of bundle and transcript. Each finding is a sentence that leads to "inconclusive": answers that change,
that never change, that come from several models, or that no model of the task would give, are evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle
from metav_audit.domains.base import Inputs
from metav_audit.responses import Answer, Features, features
from metav_audit.transcript import CanaryRound, Transcript
from metav_audit.views import find_view

CANARIES = 2
"""Inputs that are asked again and again beside the fingerprint."""

ROUNDS = 8
"""Times that the canaries are asked in an undisturbed audit: twice in a row at first, five times between, at the end.

Two models behind a balancer that throws dice for each request go unseen if each canary meets one model alone: both do
so in one of 2 ** (2 * (8 - 1)) = 16,384 audits.
"""

TOLERANCE = 0.05
"""Nats by which the same input's log-probabilities may differ between two calls: servers batch, and round."""

ROUNDING = 1e-5
"""Probabilities that lie no further apart than this are the same."""

_MACHINE_NAMES = {"address", "server", "tls_certificate_sha256", "x-powered-by"}
"""Names of the machine and the software in front of a model; balanced servers may differ in them."""

CONSTANT = 1e-4
"""Nats within which answers to different inputs count as the same answer."""


def canary_inputs(bundle: FingerprintBundle) -> Inputs:
    """Return the canaries, float32 of shape (CANARIES, *domain.shape): noise that follows from the bundle's hash."""
    return bundle.task.domain.sample(CANARIES, np.random.default_rng(int(bundle.sha256[:15], 16)))


def find_faults(bundle: FingerprintBundle, transcript: Transcript, shown: Features) -> tuple[str, ...]:
    """Return a sentence for each reason to believe that the answers are not those of one model of the task.

    Args:
        bundle: what was asked.
        transcript: what came back.
        shown: the canonical features of its answers.
    """
    return (
        *_unsteady(bundle, transcript),
        *_renamed(transcript.identities),
        *_constant(shown),
        *_strange(bundle, shown),
    )


def _unsteady(bundle: FingerprintBundle, transcript: Transcript) -> Iterator[str]:
    """Compare every round of canaries with the first.

    Only whole rounds count, and the last of them has to follow the last answer: what came after it is vouched for by
    nothing.
    """
    rounds = _whole_rounds(transcript)
    blank = "so it cannot be told whether the model stayed the same" + _last_error(transcript)
    if len(rounds) < 2:
        yield f"the inputs asked again and again were not answered twice, {blank}"
        return
    drift = _drift(bundle, transcript, rounds)
    odd = next((index for index, each in enumerate(drift) if each > TOLERANCE), None)
    if odd == 1:
        yield f"the same input is answered differently from call to call (by {_nats(max(drift))})"
    elif odd is not None:
        yield (
            f"the answers to the same inputs changed during the run (by {_nats(max(drift))}), "
            f"between {rounds[odd - 1].at} and {rounds[odd].at}: the model was changed"
        )
    elif max(each.after for each in rounds) < sum(answer is not None for answer in transcript.answers):
        yield f"the inputs asked again and again were not answered after the last query, {blank}"


def steadiness(bundle: FingerprintBundle, transcript: Transcript) -> str:
    """Say how often the canaries were asked, and how far their answers lay apart."""
    rounds = _whole_rounds(transcript)
    asked = f"{CANARIES} inputs asked {len(transcript.canaries)} times, answered {len(rounds)} times"
    if len(rounds) < 2:
        return asked
    return f"{asked}; their answers differ by {_nats(max(_drift(bundle, transcript, rounds)))} at most"


def first_look(bundle: FingerprintBundle, transcript: Transcript) -> str:
    """Say what the first rounds of canaries show: the view, and whether the same input gets the same answer."""
    rounds = _whole_rounds(transcript)
    answers = [answer for each in rounds for answer in each.answers]
    said = f"the first answers show {find_view(answers, bundle.task.output, transcript.endpoint.scores)}"
    if len(rounds) < 2:
        return said
    drift = max(_drift(bundle, transcript, rounds))
    return f"{said}, " + ("the same twice" if drift <= TOLERANCE else f"differing by {_nats(drift)} from call to call")


def _whole_rounds(transcript: Transcript) -> list[CanaryRound]:
    return [each for each in transcript.canaries if len(each.answers) == CANARIES and each.whole]


def _drift(bundle: FingerprintBundle, transcript: Transcript, rounds: Sequence[CanaryRound]) -> list[float]:
    values = [_canary_values(bundle, transcript, each.answers) for each in rounds]
    return [_distance(values[0], each) for each in values]


def _last_error(transcript: Transcript) -> str:
    errors = [each.error for each in transcript.canaries if each.error]
    return f" (last error: {errors[-1][:200]})" if errors else ""


def _nats(distance: float) -> str:
    return f"{distance:.2g} nats" if np.isfinite(distance) else "the classes shown"


def _distance(first: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the largest difference in nats; infinite where different classes are shown.

    Probabilities closer than ``ROUNDING`` count as the same: near the floor, the last digit alone is worth nats.
    """
    if (np.isnan(first) != np.isnan(other)).any():
        return float("inf")
    apart = np.abs(np.exp(first) - np.exp(other)) > ROUNDING
    return float(np.nanmax(np.abs(first - other)[apart], initial=0.0))


def _canary_values(
    bundle: FingerprintBundle, transcript: Transcript, answers: Sequence[Answer | None]
) -> NDArray[np.float64]:
    found = features(answers, bundle.task.output, transcript.endpoint.scores)
    return np.where(found.mask, found.values, np.nan).astype(np.float64)


def _renamed(identities: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for name in sorted({name for identity in identities for name in identity} - _MACHINE_NAMES):
        values = sorted({identity[name] for identity in identities if name in identity})
        if len(values) > 1:
            yield f"the server named itself differently during the run: {name} was {' and '.join(values[:3])}"


def _constant(shown: Features) -> Iterator[str]:
    values, mask = shown.values[shown.answered], shown.mask[shown.answered]
    if len(values) > 1 and (mask == mask[0]).all() and np.ptp(values, axis=0).max() < CONSTANT:
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
