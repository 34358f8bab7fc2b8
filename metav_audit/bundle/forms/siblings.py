"""How near a suspect is to the target among the target's siblings, reruns of the owner's own training program.

For the models k = 0 (the target), 1 .. K (its siblings) and a suspect's answers on shared queries:

1. Every answer is taken as its deviation from the models' mean, in their standard deviations, held within ``CLIP``.
   Where the suspect shows labels alone, its deviation is that of its labels from the models' usual labels, and a
   model's that of its probabilities from their mean: what labels are drawn from.
2. What reference suspects have in common is taken out of all deviations, since some models look like everybody: with
   the references' deviations, each of length 1, as the rows of G, what is left of x is x - x G'(G G' + 2 I)^-1 G. The
   references were made without regard to which model is the target.
3. C_k is the cosine of what is left of the suspect's deviations and of model k's.

If the suspect came to be without the target, target and siblings are exchangeable given the suspect, and the rank of
C_0 among all C_k is uniform whatever the suspect is. So its p-value is exact: (1 + #{k > 0: C_k >= C_0}) / (K + 1).
The score is C_0 in standard deviations of its siblings' C_k, on the logistic scale. After the permutation tests of
models by their order of training (arXiv 2510.19796) and of weights (arXiv 2502.12292).

The tensors: ``models``, of shape (K + 1, N, D), the target first; ``references``, (R, N, D); of classifications
``least``, of shape (1,): log-probabilities below it count as it, since an API shows them as 0 or leaves them out.
Behind labels alone ``shares`` are the models' probabilities, of the shape of ``models``.

Where all models start from one public ancestor, ``kin``, of shape (R,), is 1 for references that start from it, too.
Then the family can be told beside the child: F is the cosine of the suspect's deviations and the mean of these
references', both from the mean of the other references, in their standard deviations, held within ``CLIP``. Target and
siblings play no part: they share data and habits, too, and those make no family. Labels alone do not tell it: a good
model's are the truth, and so are the family's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms.base import Form, Numbers, Tensors, sigmoid, with_hidden_classes
from metav_audit.task import BoolArray, Features, FloatArray, OutputSpace, OutputView

MODELS, REFERENCES, LEAST, SHARES, KIN = "models", "references", "least", "shares", "kin"
"""The tensors' names."""

CLIP = 3.0
"""Deviations beyond this many standard deviations count as this many."""

RIDGE = 2.0
"""What references have in common is taken out with this penalty: each of them has length 1."""

LEAST_SPREAD = 1e-3
"""Added to each standard deviation, in units of the largest one: where all models say the same, no one deviates."""

EQUAL = 1e-9
"""Likenesses that lie nearer together count as equal, and equal ones against the target."""

Likeness = NDArray[np.float64]
"""C_k of M suspects, of shape (M, K + 1)."""


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Numbers:
    """Score M models; see ``MetaVerifier.scores``."""
    return rank(tensors, values, mask)[0]


def rank(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> tuple[Numbers, Numbers]:
    """Return the scores of M suspects, and the share of models, the target among them, that each is at least as like.

    >>> rng = np.random.default_rng(0)
    >>> models = rng.normal(size=(20, 16, 1))
    >>> tensors = {"models": models, "references": rng.normal(size=(5, 16, 1))}
    >>> rank(tensors, models[:1] + 0.1, np.ones((1, 16, 1), bool))[1].tolist()
    [0.05]
    """
    return ranked(likeness_of(tensors, values, mask))


def ranked(likeness: Likeness) -> tuple[Numbers, Numbers]:
    """Return by how much M suspects are liker to the target than to its siblings, as scores, and the ranks' p-values.

    >>> ranked(np.array([[3.0, 1.0, 2.0]]))[1].round(2).tolist()
    [0.33]
    """
    others = likeness[:, 1:]
    ahead = (likeness[:, 0] - others.mean(axis=1)) / (others.std(axis=1) + EQUAL)
    as_like = (others >= likeness[:, :1] - EQUAL).sum(axis=1)
    return sigmoid(ahead), np.asarray((1 + as_like) / likeness.shape[1], dtype=np.float64)


def seen(tensors: Mapping[str, FloatArray], view: OutputView, space: OutputSpace) -> dict[str, FloatArray]:
    """Return the tensors as an API with this view would have shown these models, without its noise."""
    still = replace(view, noise=0.0, seed=0)
    shown = {name: _shown(tensors[name], still, space) for name in (MODELS, REFERENCES)}
    shown = {**tensors, **shown}
    return {**shown, SHARES: np.exp(tensors[MODELS])} if view.label_only else shown


def size(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Count the likenesses, and the pairs of references, which are solved for as well."""
    models, references = len(tensors[MODELS]), len(tensors[REFERENCES])
    return max(shape[0] * models, references**2 * (1 + references // 1000))


def likeness_of(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Likeness:
    """Return each suspect's likeness to every model over the queries that it answered."""
    answers = with_hidden_classes(values, mask) if LEAST in tensors else np.where(mask, values, 0.0)
    models, references = tensors[MODELS], tensors[REFERENCES]
    if LEAST in tensors:
        models, references, answers = (np.maximum(each, tensors[LEAST]) for each in (models, references, answers))
    likeness = np.zeros((len(values), len(models)))
    for rows, suspects in _alike(np.asarray(mask.any(axis=2))):
        seen_as = _deviations(models[:, rows], plain=SHARES in tensors)
        own = seen_as(models[:, rows])
        if SHARES in tensors:
            shares = tensors[SHARES][:, rows]
            own = (shares - shares.mean(axis=0)).reshape(len(shares), -1)
        usual = _unit(seen_as(references[:, rows]))
        left = [_left(each, usual) for each in (seen_as(answers[suspects][:, rows]), own)]
        likeness[suspects] = _unit(left[0]) @ _unit(left[1]).T
    return likeness


def family_of(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Numbers | None:
    """Return F of M suspects, how like each is to the ancestor's family, in [-1, 1]; None where it cannot be told.

    >>> rng = np.random.default_rng(0)
    >>> references = rng.normal(size=(9, 16, 1))
    >>> references[5:] += 5
    >>> tensors = {"references": references, "kin": np.arange(9) >= 5}
    >>> family_of(tensors, np.stack([references[5], -references[5]]), np.ones((2, 16, 1), bool)).round(1).tolist()
    [1.0, -1.0]
    """
    if KIN not in tensors or SHARES in tensors or len(set(tensors[KIN].tolist())) < 2:
        return None
    answers = with_hidden_classes(values, mask) if LEAST in tensors else np.where(mask, values, 0.0)
    kin, others = (tensors[REFERENCES][(tensors[KIN] > 0) == side] for side in (True, False))
    if LEAST in tensors:
        kin, others, answers = (np.maximum(each, tensors[LEAST]) for each in (kin, others, answers))
    likeness = np.zeros(len(values))
    for rows, suspects in _alike(np.asarray(mask.any(axis=2))):
        seen_as = _deviations(others[:, rows], plain=False)
        own = seen_as(kin[:, rows]).mean(axis=0, keepdims=True)
        likeness[suspects] = (_unit(seen_as(answers[suspects][:, rows])) @ _unit(own).T)[:, 0]
    return likeness


def _deviations(models: NDArray[np.float64], *, plain: bool) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return what takes answers of shape (S, n, D) as deviations from the models', of shape (S, n D)."""
    mean, spread = models.mean(axis=0), models.std(axis=0)
    if plain:
        return lambda answers: (answers - mean).reshape(len(answers), -1)
    spread = spread + LEAST_SPREAD * spread.max() + EQUAL
    return lambda answers: np.clip((answers - mean) / spread, -CLIP, CLIP).reshape(len(answers), -1)


def _left(deviations: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take what the references have in common out of deviations."""
    weights = np.linalg.solve(usual @ usual.T + RIDGE * np.eye(len(usual)), usual @ deviations.T)
    return np.asarray(deviations - weights.T @ usual, dtype=np.float64)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + EQUAL), dtype=np.float64)


def _alike(answered: BoolArray) -> Iterator[tuple[BoolArray, NDArray[np.int64]]]:
    """Yield each set of answered queries with the suspects that answered just these."""
    patterns, group = np.unique(answered, axis=0, return_inverse=True)
    for number, rows in enumerate(patterns):
        if rows.any():
            yield rows, np.flatnonzero(group.ravel() == number)


def _shown(tensor: FloatArray, view: OutputView, space: OutputSpace) -> FloatArray:
    shown = view.apply(Features(tensor, np.ones(tensor.shape, dtype=np.bool_)), space)
    if not space.labelled:
        return shown.values
    return with_hidden_classes(shown.values.astype(np.float64), shown.mask).astype(np.float32)


FORM = Form(score, rank, seen, size, standing=likeness_of, family=family_of)
