"""How near a suspect is to the target among the target's siblings, reruns of the owner's own training program.

For the models k = 0 (the target), 1 .. K (its siblings) and a suspect's answers on shared queries:

1. Every answer is taken as its deviation from the models' mean, in their standard deviations, held within ``CLIP``.
2. T_k is the cosine of the suspect's deviations and model k's.
3. C_k is T_k less its mean over reference suspects, which were made without regard to which model is the target: some
   models look like everybody.

If the suspect came to be without the target, target and siblings are exchangeable given the suspect, and the rank of
C_0 among all C_k is uniform whatever the suspect is. So its p-value is exact: (1 + #{k > 0: C_k >= C_0}) / (K + 1).
The score is C_0 in standard deviations of its siblings' C_k, on the logistic scale. After the permutation tests of
models by their order of training (arXiv 2510.19796) and of weights (arXiv 2502.12292).

The tensors: ``models``, of shape (K + 1, N, D), the target first; ``references``, (R, N, D); of classifications
``least``, of shape (1,): log-probabilities below it count as it, since an API shows them as 0 or leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Form, Tensors, sigmoid, with_hidden_classes
from metav_audit.task import BoolArray, Features, FloatArray, OutputSpace, OutputView

MODELS, REFERENCES, LEAST = "models", "references", "least"
"""The tensors' names."""

CLIP = 3.0
"""Deviations beyond this many standard deviations count as this many."""

LEAST_SPREAD = 1e-3
"""Added to each standard deviation, in units of the largest one: where all models say the same, no one deviates."""

EQUAL = 1e-9
"""Likenesses that lie nearer together count as equal, and equal ones against the target."""

Likeness = NDArray[np.float64]
"""C_k of M suspects, of shape (M, K + 1)."""


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score M models; see ``MetaVerifier.scores``."""
    likeness = centred(tensors, values, mask)
    others = likeness[:, 1:]
    ahead = (likeness[:, 0] - others.mean(axis=1)) / (others.std(axis=1) + EQUAL)
    return sigmoid(ahead)


def p_values(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Return the share of models, the target counted among them, that M suspects are at least as like, of shape (M,).

    >>> rng = np.random.default_rng(0)
    >>> models = rng.normal(size=(20, 16, 1))
    >>> tensors = {"models": models, "references": rng.normal(size=(5, 16, 1))}
    >>> p_values(tensors, models[:1] + 0.1, np.ones((1, 16, 1), bool)).tolist()
    [0.05]
    """
    likeness = centred(tensors, values, mask)
    as_like = (likeness[:, 1:] >= likeness[:, :1] - EQUAL).sum(axis=1)
    return np.asarray((1 + as_like) / likeness.shape[1], dtype=np.float64)


def seen(tensors: Mapping[str, FloatArray], view: OutputView, space: OutputSpace) -> dict[str, FloatArray]:
    """Return the tensors as an API with this view would have shown these models, without its noise."""
    still = replace(view, noise=0.0, seed=0)
    return {name: tensor if name == LEAST else _shown(tensor, still, space) for name, tensor in tensors.items()}


def centred(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Likeness:
    """Return each suspect's likeness to every model, less the reference suspects', over the queries it answered."""
    parts = [tensors[MODELS], tensors[REFERENCES], _filled(tensors, values, mask)]
    if LEAST in tensors:
        parts = [np.maximum(part, tensors[LEAST]) for part in parts]
    likeness = np.zeros((len(values), len(tensors[MODELS])))
    for rows, suspects in _alike(np.asarray(mask.any(axis=2))):
        models, references = parts[0][:, rows], parts[1][:, rows]
        mean, spread = models.mean(axis=0), models.std(axis=0)
        spread = spread + LEAST_SPREAD * spread.max() + EQUAL
        own = _directions(models, mean, spread)
        usual = (_directions(references, mean, spread) @ own.T).mean(axis=0)
        likeness[suspects] = _directions(parts[2][suspects][:, rows], mean, spread) @ own.T - usual
    return likeness


def _filled(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    return with_hidden_classes(values, mask) if LEAST in tensors else np.where(mask, values, 0.0)


def _alike(answered: BoolArray) -> Iterator[tuple[BoolArray, NDArray[np.int64]]]:
    """Yield each set of answered queries with the suspects that answered just these."""
    patterns, group = np.unique(answered, axis=0, return_inverse=True)
    for number, rows in enumerate(patterns):
        if rows.any():
            yield rows, np.flatnonzero(group.ravel() == number)


def _directions(
    answers: NDArray[np.float64], mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    flat = np.clip((answers - mean) / spread, -CLIP, CLIP).reshape(len(answers), -1)
    return np.asarray(flat / (np.linalg.norm(flat, axis=1, keepdims=True) + EQUAL), dtype=np.float64)


def _shown(tensor: FloatArray, view: OutputView, space: OutputSpace) -> FloatArray:
    shown = view.apply(Features(tensor, np.ones(tensor.shape, dtype=np.bool_)), space)
    if not space.labelled:
        return shown.values
    return with_hidden_classes(shown.values.astype(np.float64), shown.mask).astype(np.float32)


FORM = Form(score, p_values, seen)
