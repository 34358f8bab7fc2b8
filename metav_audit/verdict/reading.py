"""Whether an endpoint's answers are those of one model, and of a model of the task at all.

Pure functions of bundle and transcript. Each finding is a sentence that leads to "inconclusive": answers that change,
that never change, that come from several models, or that no model of the task would give, are evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import CANARIES, FingerprintBundle
from metav_audit.task import (
    Answer,
    BoolArray,
    Features,
    FloatArray,
    OutputKind,
    OutputView,
    features,
    find_noise,
    find_view,
)
from metav_audit.transcript import CanaryRound, Transcript
from metav_audit.verdict.sanity import sanity_seed

_MACHINE_NAMES = {"address", "server", "tls_certificate_sha256", "x-powered-by"}
"""Names of the machine and the software in front of a model; balanced servers may differ in them."""


def find_faults(bundle: FingerprintBundle, transcript: Transcript, shown: Features) -> tuple[str, ...]:
    """Return a sentence for each reason to believe that the answers are not those of one model of the task.

    Args:
        bundle: what was asked.
        transcript: what came back.
        shown: the canonical features of its answers.
    """
    noise = noise_of(bundle, transcript)
    return (
        *_unsteady(bundle, transcript, noise),
        *_renamed(transcript.identities),
        *_constant(bundle, shown),
        *_strange(bundle, shown, OutputView(noise=noise)),
    )


def noise_of(bundle: FingerprintBundle, transcript: Transcript) -> float:
    """Return the standard deviation of the noise in which the canaries' answers differ; see ``views.find_noise``.

    0 where they differ by less than the task's tolerance.
    """
    space, rounds = bundle.task.output, _whole_rounds(transcript)
    if len(rounds) < 2 or max(_drift(bundle, transcript, rounds)) <= space.tolerance:
        return 0.0
    values = np.array([_canary_values(bundle, transcript, each.answers) for each in rounds])
    shown = np.exp(values) if space.kind is OutputKind.CLASSIFICATION else values
    return find_noise(shown, transcript.endpoint.scores)


def _unsteady(bundle: FingerprintBundle, transcript: Transcript, noise: float) -> Iterator[str]:
    """Compare every round of canaries with the first; noise is no change.

    Only whole rounds count, and the last of them has to follow the last answer: what came after it is vouched for by
    nothing.
    """
    rounds = _whole_rounds(transcript)
    blank = "so it cannot be told whether the model stayed the same" + _last_error(transcript)
    if len(rounds) < 2:
        yield f"the inputs asked again and again were not answered twice, {blank}"
        return
    drift = _drift(bundle, transcript, rounds)
    limit = np.inf if noise else bundle.task.output.tolerance
    odd = next((index for index, each in enumerate(drift) if each > limit), None)
    if odd == 1:
        yield f"the same input is answered differently from call to call (by {_apart(bundle, max(drift))})"
    elif odd is not None:
        yield (
            f"the answers to the same inputs changed during the run (by {_apart(bundle, max(drift))}), "
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
    return f"{asked}; their answers differ by {_apart(bundle, max(_drift(bundle, transcript, rounds)))} at most"


def first_look(bundle: FingerprintBundle, transcript: Transcript) -> str:
    """Say what the first rounds of canaries show: the view, and whether the same input gets the same answer."""
    rounds = _whole_rounds(transcript)
    answers = [answer for each in rounds for answer in each.answers]
    space = bundle.task.output
    said = f"the first answers show {find_view(answers, space, transcript.endpoint.scores).words(space)}"
    if len(rounds) < 2:
        return said
    drift = max(_drift(bundle, transcript, rounds))
    same = drift <= space.tolerance
    return f"{said}, " + ("the same twice" if same else f"differing by {_apart(bundle, drift)} from call to call")


def _whole_rounds(transcript: Transcript) -> list[CanaryRound]:
    return [each for each in transcript.canaries if len(each.answers) == CANARIES and each.whole]


def _drift(bundle: FingerprintBundle, transcript: Transcript, rounds: Sequence[CanaryRound]) -> list[float]:
    values = [_canary_values(bundle, transcript, each.answers) for each in rounds]
    return [bundle.task.output.drift(values[0], each) for each in values]


def _last_error(transcript: Transcript) -> str:
    errors = [each.error for each in transcript.canaries if each.error]
    return f" (last error: {errors[-1][:200]})" if errors else ""


def _apart(bundle: FingerprintBundle, distance: float) -> str:
    return f"{distance:.2g} {bundle.task.output.unit}" if np.isfinite(distance) else "what is shown"


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


def _constant(bundle: FingerprintBundle, shown: Features) -> Iterator[str]:
    values, mask = shown.values[shown.answered], shown.mask[shown.answered]
    if len(values) > 1 and (mask == mask[0]).all() and np.ptp(values, axis=0).max() < bundle.task.output.constant:
        yield "every input gets the same answer: no model of the task answers so"


def _strange(bundle: FingerprintBundle, shown: Features, view: OutputView) -> Iterator[str]:
    """Compare how usual the suspect's answers are with how usual those of each calibration model are.

    An endpoint below the lowest of them, by half as much again as they spread, is no model of the task.
    """
    answered = shown.answered
    if not answered.any():
        return
    usual = _log_votes if bundle.task.output.kind is OutputKind.CLASSIFICATION else _nearness
    features = bundle.calibration.features
    calibration = view.apply(Features(features, np.ones(features.shape, np.bool_)), bundle.task.output).values
    suspect, others = usual(calibration[:, answered], shown.values[answered], shown.mask[answered])
    if suspect < others.min() - 0.5 * (np.median(others) - others.min()):
        yield "the answers are unlike those of any model of this task, derived or independent"


Usual = tuple[float, NDArray[np.floating]]
"""How usual the suspect's answers are, and those of the calibration models, of shape (M,)."""


def _log_votes(calibration: FloatArray, values: FloatArray, mask: BoolArray) -> Usual:
    """Return the mean log-probability given to the label that most calibration models name."""
    votes = np.eye(calibration.shape[2])[calibration.argmax(axis=2)].sum(axis=0)
    usual = votes.argmax(axis=1)
    rows = np.arange(len(usual))
    known = mask[rows, usual]
    if not known.any():
        return 0.0, np.zeros(len(calibration))
    others = calibration[:, rows[known], usual[known]].mean(axis=1)
    return float(values[rows, usual][known].mean()), others


def _nearness(calibration: FloatArray, values: FloatArray, mask: BoolArray) -> Usual:
    """Return how far answers lie from the calibration models' median answers, on average, as a negative number."""
    usual = np.median(calibration, axis=0)
    others = -np.abs(calibration - usual)[:, mask].mean(axis=1)
    return -float(np.abs(values - usual)[mask].mean()), others


MINIMUM_SHARE = 0.5
"""Below this share of queries answered no verdict is given."""


def view_of(bundle: FingerprintBundle, transcript: Transcript) -> OutputView:
    """Return what the endpoint showed of its model's outputs, found from its answers."""
    seen = find_view(transcript.answers, bundle.task.output, transcript.endpoint.scores)
    noise = 0.0 if seen.label_only else noise_of(bundle, transcript)
    return replace(seen, noise=noise, seed=sanity_seed(bundle.sha256, transcript.head)) if noise else seen


def _too_little(shown: Features) -> tuple[str, ...]:
    answered = shown.answered
    if answered.mean() < MINIMUM_SHARE:
        return (f"only {answered.sum()} of {len(answered)} queries were answered; at least half are needed",)
    return ()
