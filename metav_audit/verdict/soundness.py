"""Whether a calibration's models are what a suspect has to be: models of the task, that answer what they are asked.

Whoever makes a calibration up needs independents that score low and derived models that score as innocents do. Shuffled
answers are the cheapest of the first, other people's models of the second. Both show in the bundle alone: shuffled
answers go along with no query, and no derived model comes near the target. Natural inputs show whether a model performs
as its card says. Models that do the task badly enough, on purpose, do not show: see docs/false-claims.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle, ModelCard, NaturalInputs
from metav_audit.statistics import log_odds
from metav_audit.task import FloatArray, OutputSpace
from metav_audit.verdict.calibration import CalibrationScores, calibration_scores
from metav_audit.verdict.rules import RULES, Rules


def calibration_doubts(bundle: FingerprintBundle, rules: Rules = RULES) -> tuple[str, ...]:
    """Return a sentence for each reason to think that a calibration's models are none of the task."""
    models = bundle.calibration.models
    found = [*_following(bundle, rules)]
    if not bundle.verifier.kin:
        found += _reaching(bundle, calibration_scores(bundle), rules)
    if bundle.natural is not None:
        found += _performing(bundle.natural, models, bundle.task.output, rules)
    return tuple(found)


def too_little_of_its_own(bundle: FingerprintBundle, rules: Rules = RULES) -> str | None:
    """Say that no derived model comes near a target that was tuned from an ancestor; None where one does.

    Of any other target that is a doubt about the calibration. Such a target may have so little of its own that further
    tuning wipes it out: then no verdict tells its child from another's, and yet the calibration is sound.
    """
    if not bundle.verifier.kin:
        return None
    return next(_reaching(bundle, calibration_scores(bundle), rules), None)


def going_along(answers: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much models' answers go along, query by query, with others' answers to the same queries.

    It is Mantel's statistic: the covariance of answers to the same query, in standard deviations of what all orders of
    the queries would give, about 0 for shuffled answers.

    Args:
        answers: of shape (M, N, D).
        others: of shape (N, D).

    Returns:
        float64 of shape (M,).

    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.normal(size=(2, 64, 3))
    >>> bool(going_along(one[None], one)[0] > 5 > 3 > abs(going_along(one[None], other)[0]))
    True
    """
    own = answers - answers.mean(axis=1, keepdims=True)
    beside = others - others.mean(axis=0)
    if own.shape[2] <= own.shape[1]:
        squares = ((np.swapaxes(own, 1, 2) @ own) * (beside.T @ beside)).sum(axis=(1, 2))
    else:
        squares = ((own @ beside.T) ** 2).sum(axis=(1, 2))
    along = (own * beside).sum(axis=(1, 2)) * math.sqrt(max(own.shape[1] - 1, 1))
    return np.where(squares > 0, along / np.sqrt(np.where(squares > 0, squares, 1)), 0.0)


def following(bundle: FingerprintBundle) -> NDArray[np.float64]:
    """Return how each model of a calibration goes along with the target or with the other side's mean, the better one.

    Its own side's mean says nothing: answers that were all shuffled alike go along with each other.
    """
    derived = np.array([card.derived for card in bundle.calibration.models])
    answers, target = (_linear(each, bundle.task.output) for each in (bundle.calibration.features, bundle.reference))
    found = np.zeros(len(derived))
    for side in (True, False):
        own, other = answers[derived == side], answers[derived != side].mean(axis=0)
        found[derived == side] = np.maximum(going_along(own, target), going_along(own, other))
    return found


def _linear(features: FloatArray, space: OutputSpace) -> NDArray[np.float64]:
    values = features.astype(np.float64)
    return np.exp(values) if space.labelled else values


def _following(bundle: FingerprintBundle, rules: Rules) -> Iterator[str]:
    # What one generator makes of a latent vector has nothing to do with what another makes of it.
    if len(bundle.inputs) < rules.fewest_followed or not bundle.task.output.followed:
        return
    along, models = following(bundle), bundle.calibration.models
    least = rules.least_following * math.sqrt(len(bundle.inputs))
    for side, name in ((False, "independent"), (True, "derived")):
        own = np.array([at for at, card in enumerate(models) if card.derived == side])
        usual = float(np.median(along[own]))
        odd = own[(along[own] < rules.least_usual * usual) & (usual >= rules.sure_following)]
        if usual < least:
            yield (
                f"the calibration's {name} models do not answer what they were asked: their answers go along with the "
                f"queries by {usual:.1f} standard deviations of shuffled answers, at least {least:.1f} are asked for"
            )
        elif len(odd):
            card = models[odd[0]]
            yield (
                f"{len(odd)} of the calibration's {name} models do not answer what they were asked, as shuffled "
                f"answers do not; the first is number {odd[0]}, {card.recipe} of the lineage {card.lineage[:64]}"
            )


def _reaching(bundle: FingerprintBundle, held_out: CalibrationScores, rules: Rules) -> Iterator[str]:
    """Compare the derived model that scores highest with the target itself."""
    own = float(log_odds(bundle.verifier.scores(bundle.reference[None], _ones(bundle.reference[None])))[0])
    nearest = float(log_odds(held_out.highest_derived))
    if own > 0 and nearest < rules.least_reach * own:
        yield (
            "none of the calibration's derived models comes near the target: the nearest has "
            f"{max(nearest, 0) / own:.0%} of its score's log-odds, at least {rules.least_reach:.0%} are asked for; "
            "models that others made score so"
        )


def _ones(values: FloatArray) -> NDArray[np.bool_]:
    return np.ones(values.shape, dtype=np.bool_)


def _performing(
    natural: NaturalInputs, models: tuple[ModelCard, ...], space: OutputSpace, rules: Rules
) -> Iterator[str]:
    """Compare what models get right of natural inputs with their cards; a generator's quality is of another kind."""
    if not space.followed:
        return
    worse = [
        (at, told)
        for at, (card, answers) in enumerate(zip(models, natural.models, strict=False))
        if (told := _worse(answers, natural.reference, card.performance, space, rules))
    ]
    if worse:
        at, told = worse[0]
        yield (
            f"{len(worse)} of the calibration's models do worse on natural inputs than their cards say; the first is "
            f"number {at}: {told}, of a performance of {models[at].performance:.2f}"
        )


def _worse(
    answers: FloatArray, reference: FloatArray, performance: float, space: OutputSpace, rules: Rules
) -> str | None:
    """Say how a model does where it does worse than its card says, chance aside; None where it does not."""
    count, expected = len(reference), rules.least_right * max(performance, 0.0)
    if space.labelled:
        hits = int((answers.argmax(axis=1) == reference.argmax(axis=1)).sum())
        chance = math.sqrt(count * expected * (1 - expected))
        return f"{hits} of {count} right" if hits < count * expected - rules.card_deviations * chance else None
    along = space.rightness(answers, _ones(answers), reference, reference[None])
    # Fisher's transformation: a correlation's error is about 1 / sqrt(count - 3) in it. R² is its square.
    short = math.atanh(min(math.sqrt(expected), 0.999)) - math.atanh(min(along, 0.999))
    short *= math.sqrt(max(count - 3, 0))
    return f"correlated with the target's by {along:.2f}" if short > rules.card_deviations else None
