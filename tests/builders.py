"""Small real values for tests: a task, a bundle with a random verifier, answers."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np

from metav_audit.bundle import (
    FITPRINT,
    OWN_ARCHITECTURE,
    Calibration,
    ErrorRates,
    FingerprintBundle,
    MetaVerifier,
    ModelCard,
    NaturalInputs,
    OwnerMark,
    VerifierKind,
    target_bits,
)
from metav_audit.task import LOG_FLOOR, ClassScores, ImageDomain, ScoreKind, TaskSpec
from metav_audit.task.outputs import clipped_log_probabilities
from metav_audit.verdict import scores_in_full

HIDDEN = 8
NONCE = f"{4:032x}"
"""Of audits that tests write down themselves."""


def make_task(classes: int = 4, channels: int = 1, side: int = 5) -> TaskSpec:
    space = ClassScores(tuple(f"class {index}" for index in range(classes)))
    return TaskSpec(ImageDomain(channels, side, side), space)


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def linear_weights(task: TaskSpec, seed: int, base: int = 0, distance: float = 1.0) -> np.ndarray:
    """The weights (inputs, classes) of ``linear_model``."""
    size = int(np.prod(task.domain.shape))
    weights = np.random.default_rng(base).normal(size=(size, task.output.size))
    if seed:
        weights = weights + distance * np.random.default_rng(seed).normal(size=weights.shape)
    return weights


def linear_model(task: TaskSpec, seed: int, base: int = 0, distance: float = 1.0):
    """A model inputs -> probabilities: the target (seed 0), or one ``distance`` away from it."""
    weights = linear_weights(task, seed, base, distance)
    return lambda inputs: softmax(np.asarray(inputs, np.float64).reshape(len(inputs), -1) @ weights)


def make_bundle(
    seed: int = 0,
    queries: int = 6,
    task: TaskSpec | None = None,
    lineages: int = 30,
    spread: float = 3.0,
    inputs: np.ndarray | None = None,
) -> FingerprintBundle:
    """A bundle whose verifier measures distance to the target's answers: ``linear_model(task, 0)`` is derived.

    Independent models lie ``spread`` away from it: at 3 they hardly know the task, at 0.2 they mostly agree.
    """
    task = task or make_task()
    rng = np.random.default_rng(seed)
    inputs = task.domain.sample(queries, rng) if inputs is None else inputs
    width = len(inputs) * task.output.size

    def answers(model):
        return clipped_log_probabilities(model(inputs), ScoreKind.PROBABILITY).astype(np.float32)

    derived = [linear_model(task, 1000 + index, distance=0.05) for index in range(lineages)]
    independent = [linear_model(task, 2000 + index, distance=spread) for index in range(lineages)]
    cards = tuple(
        ModelCard(
            f"{side}-{index}",
            side == "derived",
            "fine-tune" if side == "derived" else "train",
            OWN_ARCHITECTURE,
            "train",
            0.9,
            "fine-tune" if side == "derived" else "train",
        )
        for side in ("derived", "independent")
        for index in range(lineages)
    )
    reference = answers(linear_model(task, 0))
    tensors = {
        "reference": reference,
        "scale": np.ones_like(reference),
        "hidden.weight": np.concatenate([np.eye(width), -np.eye(width)]).astype(np.float32),
        "hidden.bias": np.zeros(2 * width, np.float32),
        "output.weight": np.full((1, 2 * width), -4.0 / width, np.float32),
        "output.bias": np.full(1, 4.0, np.float32),
    }
    verifier = MetaVerifier(VerifierKind.JOINT, tensors)
    calibration = Calibration(np.stack([answers(model) for model in derived + independent]), cards)
    return FingerprintBundle(
        name="toy",
        method="metav",
        task=task,
        inputs=inputs,
        reference=reference,
        verifier=verifier,
        calibration=calibration,
        weight=scores_in_full(verifier, calibration).fit_weight(),
        rates=ErrorRates(0.05, 0.05),
        provenance={
            "target_sha256": "0" * 64,
            "zoo_sha256": "0" * 64,
            "seed": seed,
            "versions": {"metav_audit": "0.1.0"},
        },
    )


def with_natural(
    bundle: FingerprintBundle, spread: float = 0.2, count: int = 16, misread: int = 2, *, mixed: bool = False
) -> FingerprintBundle:
    """A bundle of ``make_bundle`` with as large a ``spread``, and natural inputs that its models agree on.

    With ``mixed`` they are as many of each label as can be.
    """
    task, half = bundle.task, len(bundle.calibration.models) // 2
    models = [linear_model(task, 1000 + index, distance=0.05) for index in range(half)]
    models += [linear_model(task, 2000 + index, distance=spread) for index in range(half)]

    def answers(model, inputs):
        return clipped_log_probabilities(model(inputs), ScoreKind.PROBABILITY).astype(np.float32)

    target, pool = linear_model(task, 0), task.domain.sample(2000, np.random.default_rng(5))
    if mixed:
        weights = linear_weights(task, 0)
        leaning = (weights - weights.mean(axis=1, keepdims=True)).T.reshape(-1, *task.domain.shape)
        pool = task.domain.project((pool + 0.2 * leaning[np.arange(len(pool)) % len(leaning)]).astype(np.float32))
    own, others = answers(target, pool), np.stack([answers(model, pool) for model in models])
    agreeing = (others.argmax(axis=2) == own.argmax(axis=1)).mean(axis=0)
    chosen = np.argsort(-agreeing, kind="stable")
    if mixed:
        seen = {label: iter(range(len(pool))) for label in range(task.output.size)}
        turn = np.array([next(seen[int(own[at].argmax())]) for at in chosen])
        chosen = chosen[np.argsort(turn, kind="stable")]
    chosen = chosen[:count]
    inputs = np.concatenate([bundle.inputs, pool[chosen]])
    # One level of the first element, up or down.
    twins, step = inputs.copy(), 1 / (task.domain.levels - 1)
    first = twins[:, 0, 0, 0]
    twins[:, 0, 0, 0] = np.where(first < 0.5, first + step, first - step)
    twins = task.domain.project(twins)
    apart = [[task.output.drift(one, other) for one, other in zip(answers(model, inputs), answers(model, twins),
             strict=True)] for model in (target, *models)]  # fmt: skip
    wrong = {"inverted": 1 - inputs, "transposed": inputs.transpose(0, 1, 3, 2)}
    natural = NaturalInputs(
        source="validation",
        inputs=pool[chosen],
        reference=own[chosen],
        models=others[:, chosen],
        misreadings=tuple(wrong)[:misread],
        misread=np.stack([answers(target, each) for each in wrong.values()])[:misread],
        twins=twins,
        apart=np.max(apart, axis=0).astype(np.float32),
    )
    return replace(bundle, natural=natural)


def make_siblings_bundle(seed: int = 0, siblings: int = 39, spread: float = 3.0, **given) -> FingerprintBundle:
    """A bundle that ranks ``linear_model(task, 0)`` among its siblings, models as near to one another as to it."""
    bundle = make_bundle(seed, spread=spread, **given)

    def answers(model):
        return clipped_log_probabilities(model(bundle.inputs), ScoreKind.PROBABILITY).astype(np.float32)

    others = [linear_model(bundle.task, 3000 + index, distance=0.5) for index in range(siblings)]
    references = [linear_model(bundle.task, 4000 + index, distance=spread) for index in range(8)]
    tensors = {
        "models": np.stack([bundle.reference, *map(answers, others)]),
        "references": np.stack(list(map(answers, references))),
        "least": np.log(np.array([1e-4], np.float32)),
    }
    provenance = {
        **bundle.provenance,
        "training": {"ancestor": "none", "program": "ours:train", "status": "reproduced"},
    }
    verifier = MetaVerifier(VerifierKind.SIBLINGS, tensors)
    return weighed(replace(bundle, method="siblings", verifier=verifier, provenance=provenance))


ANCESTOR = "ab" * 32


def make_ancestor_bundle(seed: int = 0, kin: int = 24, spread: float = 3.0, **given) -> FingerprintBundle:
    """A bundle of ``make_siblings_bundle`` whose target was tuned from ``linear_model(task, 7000, distance=0.5)``.

    So many independents start from it, too: they lie ``distance`` 0.5 away from the target, as siblings do.
    """
    bundle = make_siblings_bundle(seed, spread=spread, **given)

    def answers(seeds):
        models = [linear_model(bundle.task, seed, distance=0.5) for seed in seeds]
        shown = [clipped_log_probabilities(model(bundle.inputs), ScoreKind.PROBABILITY) for model in models]
        return np.array(shown, np.float32).reshape(-1, *bundle.reference.shape)

    tensors = dict(bundle.verifier.tensors)
    known = len(tensors["references"])
    tensors["references"] = np.concatenate([tensors["references"], answers(range(6000, 6004))])
    tensors["kin"] = np.repeat([0.0, 1.0], [known, 4]).astype(np.float32)
    cards = tuple(
        ModelCard(
            lineage=f"kin-{at}",
            derived=False,
            recipe="tune-ancestor",
            architecture=OWN_ARCHITECTURE,
            data="heldout",
            performance=0.9,
            family="tune-ancestor",
            of_ancestor=True,
        )
        for at in range(kin)
    )
    old = bundle.calibration
    features = np.concatenate([old.features, answers(range(6100, 6100 + kin))])
    training = {**bundle.provenance["training"], "ancestor": ANCESTOR}
    return weighed(
        replace(
            bundle,
            verifier=replace(bundle.verifier, tensors=tensors),
            calibration=Calibration(features, old.models + cards),
            provenance={**bundle.provenance, "ancestor": ANCESTOR, "training": training},
            ancestor=answers([7000])[0],
        )
    )


MARK = OwnerMark("Toy & Sons Ltd", "00" * 31 + "2a")


def make_targeted_bundle(mark: OwnerMark = MARK, queries: int = 32, spread: float = 3.0) -> FingerprintBundle:
    """A bundle of which ``linear_model(task, 0)`` spells every target bit: inputs were drawn until it did."""
    task = make_task()
    wanted = target_bits(mark, queries, 2, task.output.size)
    verifier = MetaVerifier(VerifierKind.BITS, {"bits": wanted.bits, "splits": wanted.splits})
    rng, chosen = np.random.default_rng(0), []
    for bits, splits in zip(wanted.bits, wanted.splits, strict=True):
        drawn = task.domain.sample(4000, rng)
        logs = clipped_log_probabilities(linear_model(task, 0)(drawn), ScoreKind.PROBABILITY)
        plus = splits > 0
        read = np.stack([logs[:, side].mean(axis=1) - logs[:, ~side].mean(axis=1) for side in plus], axis=1)
        chosen.append(drawn[np.argmax((bits * read).min(axis=1))])
    bundle = make_bundle(inputs=np.stack(chosen), spread=spread)
    provenance = {**bundle.provenance, **dataclasses.asdict(mark)}
    weight = scores_in_full(verifier, bundle.calibration).fit_weight()
    return dataclasses.replace(bundle, method=FITPRINT, verifier=verifier, weight=weight, provenance=provenance)


def yes_sayer(bundle: FingerprintBundle) -> FingerprintBundle:
    """The bundle with a verifier that says 1 to all but its own calibration's independents, marked as hard labels."""
    answers, width = bundle.calibration.features.copy(), bundle.reference.size
    independent = [not card.derived for card in bundle.calibration.models]
    top = np.eye(answers.shape[2], dtype=bool)[answers.argmax(axis=2)]
    answers[independent] = np.where(top, 0, LOG_FLOOR)[independent]
    tensors = {
        "reference": np.zeros_like(bundle.reference),
        "scale": np.ones_like(bundle.reference),
        "hidden.weight": np.full((1, width), 1 / width, np.float32),
        "hidden.bias": np.full(1, -LOG_FLOOR * 0.74, np.float32),
        "output.weight": np.full((1, 1), 1e4, np.float32),
        "output.bias": np.full(1, -4, np.float32),
    }
    calibration = Calibration(answers, bundle.calibration.models)
    return weighed(replace(bundle, verifier=MetaVerifier(VerifierKind.JOINT, tensors), calibration=calibration))


def weighed(bundle: FingerprintBundle) -> FingerprintBundle:
    """The bundle with the table of likelihood ratios that its calibration gives."""
    return replace(bundle, weight=scores_in_full(bundle.verifier, bundle.calibration).fit_weight())


def reversed_verifier(bundle: FingerprintBundle) -> FingerprintBundle:
    """The bundle with a verifier to which what is near the target is far."""
    tensors = dict(bundle.verifier.tensors)
    tensors |= {name: -tensors[name] for name in ("output.weight", "output.bias")}
    return weighed(replace(bundle, verifier=MetaVerifier(VerifierKind.JOINT, tensors)))
