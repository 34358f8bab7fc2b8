"""Baselines with natural queries: inputs that the target gets wrong, and what can be compared on any inputs.

AKH, "A Knows H", is the trivial scheme that QuRD (AAAI 2025) puts beside the published ones: ask what the target gets
wrong, compare labels. SAC (NeurIPS 2022) compares how the outputs to wrongly classified inputs correlate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import BoolArray, Inputs, TaskSpec
from metav_audit.zoo.data import LabelledData, OwnerData


def choose_mistakes(target: nn.Module, task: TaskSpec, data: OwnerData, count: int) -> Inputs:
    """Return the inputs on which the target is most wrong, the validation data's mistakes before the held-out ones'.

    Where there are too few mistakes, those of the validation data follow that it gets right by the smallest margin;
    noise fills up. Validation data come first, since thieves and rivals have the held-out ones.
    """
    margins = [_margins(target, part) for part in (data.validation, data.heldout)]
    wrong = [
        part.inputs[order] for part, order in zip((data.validation, data.heldout), map(_mistakes, margins), strict=True)
    ]
    right = np.argsort(margins[0], kind="stable")
    right = right[margins[0][right] > 0]
    chosen = np.concatenate([*wrong, data.validation.inputs[right]])[:count]
    noise = task.domain.sample(count - len(chosen), np.random.default_rng(0))
    return task.domain.project(np.concatenate([chosen, noise]))


@torch.no_grad()
def choose_undecided(target: nn.Module, task: TaskSpec, pool: Inputs, count: int, seed: int) -> Inputs:
    """Draw from the inputs between whose two likeliest classes the target is least decided, twice as many as wanted.

    Noise fills up where the pool is too small.
    """
    rng = np.random.default_rng(seed)
    first, second = target(torch.from_numpy(pool)).topk(2, dim=1).values.T
    undecided = np.argsort((first - second).numpy(), kind="stable")[: 2 * count]
    chosen = pool[rng.permutation(undecided)[:count]]
    return task.domain.project(np.concatenate([chosen, task.domain.sample(count - len(chosen), rng)]))


@torch.no_grad()
def choose_surest(target: nn.Module, task: TaskSpec, pool: Inputs, least: int, most: int) -> Inputs:
    """Return the inputs whose likeliest class leads by most, ``most`` of them; noise fills up to ``least``."""
    first, second = target(torch.from_numpy(pool)).topk(2, dim=1).values.T
    chosen = pool[np.argsort((second - first).numpy(), kind="stable")[:most]]
    noise = task.domain.sample(max(least - len(chosen), 0), np.random.default_rng(0))
    return task.domain.project(np.concatenate([chosen, noise]))


def labels_alike(zoo: Zoo, models: Sequence[nn.Module], inputs: Inputs) -> BoolArray:
    """Say of which of N inputs each of M models gives the target's label, of shape (M, N)."""
    labels = features_of_all([zoo.target, *models], inputs, zoo.task.output).argmax(axis=2)
    return np.asarray(labels[1:] == labels[0])


@torch.no_grad()
def _margins(target: nn.Module, data: LabelledData) -> NDArray[np.float32]:
    """Return by how much the right label's logit leads, negative on mistakes."""
    logits = target(torch.from_numpy(data.inputs)).numpy().copy()
    rows = np.arange(len(logits))
    own = logits[rows, data.labels]
    logits[rows, data.labels] = -np.inf
    return np.asarray(own - logits.max(axis=1))


def _mistakes(margins: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rows of mistakes, the worst first."""
    order = np.argsort(margins, kind="stable")
    return np.asarray(order[margins[order] <= 0])


def compare_labels(target: nn.Module, task: TaskSpec, inputs: Inputs) -> tuple[Inputs, MetaVerifier]:
    """Return the inputs, and a verifier that counts the labels equal to the target's."""
    labels = features_of_all([target], inputs, task.output)[0].argmax(axis=1)
    return inputs, MetaVerifier(VerifierKind.AGREEMENT, {"labels": labels.astype(np.float32)})


def compare_correlations(target: nn.Module, task: TaskSpec, inputs: Inputs) -> tuple[Inputs, MetaVerifier]:
    """Return the inputs, and a verifier that compares the correlations of outputs with the target's."""
    return inputs, MetaVerifier(
        VerifierKind.CORRELATION, {"reference": features_of_all([target], inputs, task.output)[0]}
    )
