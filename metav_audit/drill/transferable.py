"""False claims by transferable adversarial queries (Liu et al., USENIX Security 2024): all models agree on them.

The accuser optimises inputs until the target and many independents alike give a wrong label that the accuser chose, and
compares labels. Any model of the task will agree. The calibration hides it: its independents are real models, but each
was tuned to answer just these inputs rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.bundle import Calibration, FingerprintBundle, MetaVerifier, VerifierKind
from metav_audit.drill.stage import Stage, with_table
from metav_audit.fingerprint.fit import choose_starts, models_of, seal_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.features import clip_in_place, features_of_all, project_straight_through
from metav_audit.task import Inputs
from metav_audit.zoo.plan import Split
from metav_audit.zoo.training import clone, descend, seeded

STEPS = 150
MODELS = 6
"""Independents drawn in each step."""
INPUT_RATE = 0.03
SAMPLE = 32
"""Held-out data on which a tuned independent keeps its skill."""


def make_transferable(stage: Stage, seed: int) -> FingerprintBundle:
    """Make a bundle by which any model of the task is a match."""
    workshop = stage.workshop
    making = Making.of(workshop, stage.zoo, "metav", seed=seed)
    target, starts = workshop.target, choose_starts(workshop, seed, making.queries)
    right = features_of_all([target.network], starts, target.task.output)[0].argmax(axis=1)
    shifts = np.random.default_rng(seed).integers(1, target.task.output.size, len(right))
    wrong = (right + shifts) % target.task.output.size
    inputs = _optimise(stage, starts, wrong, seed)
    labels = features_of_all([target.network], inputs, target.task.output)[0].argmax(axis=1).astype(np.float32)
    verifier = MetaVerifier(VerifierKind.AGREEMENT, {"labels": labels})
    bundle = seal_bundle(making, inputs, verifier)
    return with_table(replace(bundle, calibration=_tuned(stage, bundle, right, seed)))


def _optimise(stage: Stage, starts: Inputs, wrong: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int) -> Inputs:
    target, domain = stage.workshop.target, stage.workshop.target.task.domain
    crowd = models_of(stage.workshop, stage.zoo.select(Split.FIT, derived=False))
    draws, wanted = np.random.default_rng(seed), torch.from_numpy(wrong)
    queries = torch.from_numpy(starts.copy()).requires_grad_()
    optimizer = torch.optim.Adam([queries], lr=INPUT_RATE)
    for _ in range(STEPS):
        drawn = [crowd[at] for at in draws.choice(len(crowd), min(MODELS, len(crowd)), replace=False)]
        arriving = project_straight_through(queries, domain)
        loss = _agreement(arriving, wanted, [target.network, *drawn])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        clip_in_place(queries, domain)
    return domain.project(queries.detach().numpy())


def _agreement(arriving: Tensor, wanted: Tensor, models: Sequence[nn.Module]) -> Tensor:
    """Return the mean cross-entropy of all models towards the wrong labels."""
    return torch.stack([functional.cross_entropy(model(arriving), wanted) for model in models]).mean()


def _tuned(
    stage: Stage, bundle: FingerprintBundle, right: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int
) -> Calibration:
    """Calibrate on derived models as they are, and on independents tuned to answer the queries rightly."""
    derived = stage.zoo.select(Split.CALIBRATION, derived=True)
    independent = stage.zoo.select(Split.CALIBRATION, derived=False)
    heldout = stage.workshop.data.heldout
    sample = heldout.take(np.random.default_rng(seed).permutation(len(heldout))[:SAMPLE])
    queries = torch.from_numpy(bundle.inputs)
    inputs = torch.cat([queries, torch.from_numpy(sample.inputs)])
    labels = torch.from_numpy(np.concatenate([right, sample.labels]))
    tuned = []
    for number, model in enumerate(models_of(stage.workshop, independent)):
        student = clone(model)
        generator = seeded(seed + number)
        descend(student, list(student.parameters()), (inputs, labels), functional.cross_entropy, epochs=40, rate=3e-3,
                generator=generator)  # fmt: skip
        tuned.append(student)
    answers = features_of_all([*models_of(stage.workshop, derived), *tuned], bundle.inputs, bundle.task.output)
    return Calibration(answers, tuple(one.card for one in (*derived, *independent)))
