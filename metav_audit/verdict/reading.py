"""The reading: what an audit's answers show, before anything is decided.

A pure function of bundle and transcript. Each fault is a sentence that leads to "inconclusive": answers that change,
that never change, that come from several models, or that no model of the task would give, are evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle
from metav_audit.task import BoolArray, Features, FloatArray, OutputView, features, find_view
from metav_audit.transcript import EndpointRecord, Transcript
from metav_audit.verdict.asked import Asked, LooksTaken
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.sanity import sanity_seed
from metav_audit.verdict.steadiness import Steadiness
from metav_audit.verdict.understood import understanding


@dataclass(frozen=True, slots=True)
class Reading:
    """What the answers show.

    Attributes:
        endpoint: who was asked.
        transcript_sha256: the head of the transcript's chain.
        requests: requests sent, retries included.
        shown: the canonical features of the answers, (N, D), with the mask of what was shown.
        view: what the endpoint showed of its model's outputs, its noise among it.
        faults: a sentence for each reason not to judge these answers; none where they are those of one model of the
            task.
        steadiness: how often the same inputs were asked again, and how far their answers lay apart, in words.
        natural: how natural inputs were answered, or that none were asked, in words.
        seed: of noise and shufflings; neither the bundle's maker nor the auditor chooses it.
        enough: whether enough was answered.
        earlier: what the answers showed at each earlier look.
        looks: which looks were taken; None of an audit that asks all.
    """

    endpoint: EndpointRecord
    transcript_sha256: str
    requests: int
    shown: Features
    view: OutputView
    faults: tuple[str, ...]
    steadiness: str
    natural: str
    seed: int
    enough: bool
    earlier: tuple[Reading, ...] = ()
    looks: LooksTaken | None = None

    @property
    def answered(self) -> int:
        """Queries answered."""
        return int(self.shown.answered.sum())


def read(bundle: FingerprintBundle, transcript: Transcript, rules: Rules = RULES) -> Reading:
    """Read an audit's answers.

    Args:
        bundle: what was asked.
        transcript: what came back.
        rules: what counts as too little, as noise, as strange.

    Raises:
        TranscriptError: the transcript was recorded with another bundle.
        AnswerError: an answer does not fit the task.
    """
    asked = Asked.of(bundle, transcript)
    reading = _read(bundle, transcript, asked, rules)
    if not transcript.looks:
        return reading
    earlier = tuple(_read(bundle, transcript, asked.at(look), rules) for look in range(asked.look))
    return replace(
        reading, earlier=earlier, looks=LooksTaken(transcript.looks, asked.look + 1, bundle.rates.false_match)
    )


def _read(bundle: FingerprintBundle, transcript: Transcript, asked: Asked, rules: Rules) -> Reading:
    """Read what stood there at one look."""
    space, kind = bundle.task.output, transcript.endpoint.scores
    shown = features(asked.answers, space, kind)
    view = find_view([each.answer for each in asked.exchanges], space, kind, rules.views)
    steadiness = Steadiness.of(bundle, transcript, rules, asked)
    seed = sanity_seed(bundle.sha256, asked.sha256 if transcript.looks else transcript.head)
    few = tuple(_too_little(shown, asked.wanted, rules))
    understood = understanding(bundle, asked, shown, kind, view, rules)
    faults = (
        *few,
        *steadiness.faults(),
        *_renamed(transcript.identities, rules),
        *_constant(bundle, shown),
        *understood.faults,
        *_strange(bundle, shown, OutputView(noise=steadiness.noise), rules.strangeness),
    )
    if steadiness.noise and not view.label_only:
        view = replace(view, noise=steadiness.noise, seed=seed)
    return Reading(
        transcript.endpoint,
        transcript.head,
        transcript.requests,
        shown,
        view,
        faults,
        steadiness.words(),
        understood.words + asked.taken_over,
        seed,
        not few,
    )


def doubts(bundle: FingerprintBundle, rules: Rules, shown: Features) -> str | None:
    """Say why answers are not those of a model of the task; None where they may be: for whoever is no suspect."""
    faults = (*_constant(bundle, shown), *_strange(bundle, shown, OutputView(), rules.strangeness))
    return faults[0] if faults else None


def _too_little(shown: Features, wanted: BoolArray, rules: Rules) -> Iterator[str]:
    answered = shown.answered[wanted]
    if answered.mean() < rules.minimum_share_answered:
        yield (
            f"only {answered.sum()} of {len(answered)} queries were answered; at least "
            f"{_share(rules.minimum_share_answered)} are needed"
        )


def _share(share: float) -> str:
    return "half" if share == 0.5 else f"{share:.0%}"


def _renamed(identities: Sequence[Mapping[str, str]], rules: Rules) -> Iterator[str]:
    for name in sorted({name for identity in identities for name in identity} - set(rules.machine_names)):
        values = sorted({identity[name] for identity in identities if name in identity})
        if len(values) > 1:
            yield f"the server named itself differently during the run: {name} was {' and '.join(values[:3])}"


def _constant(bundle: FingerprintBundle, shown: Features) -> Iterator[str]:
    values, mask = shown.values[shown.answered], shown.mask[shown.answered]
    if len(values) > 1 and (mask == mask[0]).all() and np.ptp(values, axis=0).max() < bundle.task.output.constant:
        yield "every input gets the same answer: no model of the task answers so"


def _strange(bundle: FingerprintBundle, shown: Features, view: OutputView, strangeness: float) -> Iterator[str]:
    """Compare how usual the suspect's answers are with how usual those of each calibration model are.

    An endpoint below the lowest of them, by a share (``strangeness``) of how they spread, is no model of the task.
    """
    answered = shown.answered
    if not answered.any():
        return
    usual = _log_votes if bundle.task.output.labelled else _nearness
    features = bundle.calibration.features
    calibration = view.apply(Features(features, np.ones(features.shape, np.bool_)), bundle.task.output).values
    suspect, others = usual(calibration[:, answered], shown.values[answered], shown.mask[answered])
    if suspect < others.min() - strangeness * (np.median(others) - others.min()):
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
