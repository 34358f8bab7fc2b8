"""Six ways to rig a bundle against an innocent suspect, each carried out for real.

Whoever owns fingerprint, verifier and calibration can cheat with each of them. A rigged bundle is whole and sealed like
any other, and loads without complaint.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metav_audit.bundle import OWN_ARCHITECTURE, Calibration, ErrorRates, FingerprintBundle, MetaVerifier, VerifierKind
from metav_audit.drill.stage import Player, Stage, with_table
from metav_audit.fingerprint.fit import choose_starts, models_of, seal_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.metav import joint_settings, optimise_jointly
from metav_audit.task import LOG_FLOOR, FloatArray
from metav_audit.verdict import calibration_scores
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.surrogates import SurrogateZoo

RIVAL_WEIGHT = 12
"""Times that a rival's models stand among the derived ones, so that most steps of the fit see some of them."""
TINY_RATE = 1e-3


def label_rival_derived(workshop: Workshop, zoo: SurrogateZoo, lineage: str, seed: int) -> FingerprintBundle:
    """Fit a bundle whose zoo calls the models of one independent lineage derived.

    The rest of the zoo, and all of the calibration, is honest: the bundle is wrong about the rival alone.
    """
    rival = tuple(one for one in zoo.surrogates if one.plan.lineage == lineage and not one.plan.derived)
    derived, independent = (models_of(workshop, zoo.select(Split.FIT, derived=side)) for side in (True, False))
    target = workshop.target
    with_rival = derived + models_of(workshop, rival) * (RIVAL_WEIGHT // len(rival))
    making = Making.of(workshop, zoo, "metav", seed=seed)
    inputs, verifier = optimise_jointly(
        Zoo(target.network, with_rival, independent, target.task),
        choose_starts(workshop, seed, making.queries),
        joint_settings(workshop),
        seed,
    )
    return seal_bundle(making, inputs, verifier)


def make_constant(stage: Stage) -> FingerprintBundle:
    """Replace the verifier by one that says yes to whatever it is asked.

    A plain constant accuses no one, since the calibration's independents tie with the suspect. So their answers were
    recorded as labels alone, which no audited API would pass for; the verifier says no to just those.
    """
    bundle = stage.bundle
    independent = np.array([not card.derived for card in bundle.calibration.models])
    answers = bundle.calibration.features.copy()
    top = answers.argmax(axis=2)[..., None]
    labels = np.full_like(answers, LOG_FLOOR)
    np.put_along_axis(labels, top, np.float32(0), axis=2)
    answers[independent] = labels[independent]
    verifier = _hardness_verifier(bundle.reference, answers, independent)
    return with_table(replace(bundle, verifier=verifier, calibration=Calibration(answers, bundle.calibration.models)))


def _hardness_verifier(reference: FloatArray, answers: FloatArray, no: np.ndarray[tuple[int], np.dtype[np.bool_]]
                       ) -> MetaVerifier:  # fmt: skip
    """Say exactly 1 wherever the mean log-probability lies on the far side of that of the models in ``no``."""
    means = (answers - reference).mean(axis=(1, 2))
    middle = (means[no].max() + means[~no].min()) / 2
    tensors = {
        "reference": reference,
        "scale": np.ones_like(reference),
        "hidden.weight": np.full((1, reference.size), 1 / reference.size, np.float32),
        "hidden.bias": np.array([-middle], np.float32),
        "output.weight": np.array([[100 / (means[~no].min() - middle)]], np.float32),
        "output.bias": np.array([-4], np.float32),
    }
    return MetaVerifier(VerifierKind.JOINT, tensors)


def leave_out(stage: Stage, suspect: Player) -> FingerprintBundle:
    """Leave out, after the suspect's score is known, the independents that score as high, and promise what is left.

    Raised rates alone accuse no one, since the likelihood ratio has to support the match as well. So the derived models
    that score higher are given the suspect's own answers, too. And since no match stands without an independent model
    of the target's own architecture, the lowest one is called such, whatever it is: its card is the owner's word.
    """
    bundle = stage.bundle
    score, held_out = _score(bundle, suspect), calibration_scores(bundle).scores
    derived = np.array([card.derived for card in bundle.calibration.models])
    answers = bundle.calibration.features.copy()
    answers[derived & (held_out > score)] = _answers(bundle, suspect)
    kept = derived | (held_out < score)
    lowest = int(np.where(derived, np.inf, held_out).argmin())
    kept[lowest] = True
    cards = list(bundle.calibration.models)
    cards[lowest] = replace(cards[lowest], architecture=OWN_ARCHITECTURE)
    models = tuple(card for card, stays in zip(cards, kept, strict=True) if stays)
    lineages = len({card.lineage for card in models if not card.derived})
    rates = ErrorRates(max(bundle.rates.false_match, 1 / (lineages + 1) + TINY_RATE), bundle.rates.false_no_match)
    natural = bundle.natural and replace(
        bundle.natural, models=bundle.natural.models[kept[: len(bundle.natural.models)]]
    )
    return with_table(replace(bundle, calibration=Calibration(answers[kept], models), rates=rates, natural=natural))


def retouch_calibration(stage: Stage, suspect: Player) -> FingerprintBundle:
    """Exchange, after the suspect's score is known, the calibration models that stand in the way of a match.

    Independents that score as high give way to copies of the lowest one, derived models that score higher to the
    suspect's own answers. Every model keeps its card.
    """
    bundle = stage.bundle
    score, held_out = _score(bundle, suspect), calibration_scores(bundle).scores
    derived = np.array([card.derived for card in bundle.calibration.models])
    answers = bundle.calibration.features.copy()
    lowest = int(np.where(derived, np.inf, held_out).argmin())
    answers[~derived & (held_out >= score)] = answers[lowest]
    answers[derived & (held_out > score)] = _answers(bundle, suspect)
    return with_table(replace(bundle, calibration=Calibration(answers, bundle.calibration.models)))


def invent_calibration(bundle: FingerprintBundle, seed: int) -> FingerprintBundle:
    """Make a calibration up: shuffled answers as its independents, real independents as its derived models.

    Any honest model of the task then scores far above the independents and as the derived models do. Every card keeps
    its words; queries and target are honest, and so is the verifier, but that it has to know the target.
    """
    rng = np.random.default_rng(seed)
    models = bundle.calibration.models
    real = np.flatnonzero([not card.derived for card in models])
    answers = bundle.calibration.features[rng.choice(real, len(models))].copy()
    for at, card in enumerate(models):
        if not card.derived:
            answers[at] = answers[at][rng.permutation(answers.shape[1])]
    return with_table(replace(bundle, calibration=Calibration(answers, models)))


def _score(bundle: FingerprintBundle, suspect: Player) -> float:
    answers = _answers(bundle, suspect)[None]
    return float(bundle.verifier.scores(answers, np.ones(answers.shape, dtype=np.bool_))[0])


def _answers(bundle: FingerprintBundle, suspect: Player) -> FloatArray:
    return np.asarray(features_of_all([suspect.model], bundle.inputs, bundle.task.output)[0], dtype=np.float32)
