"""How near a suspect is to the target among the target's siblings, on inputs that accounts of the owner's API sent.

A thief's model owes its victim almost everything on the inputs that it asked, what the victim gets wrong above all. For
the models k = 0 (the target), 1 .. K (its siblings), and each account's queries:

1. Labels: L_k is the sum over queries of log(a [s = l_k] / q(s) + 1 - a), where s is the suspect's label, l_k model
   k's, and q(s) the share of s among the labels of all models and of the references, half and half: the fewer others
   give a label, the more it weighs. It is the log-likelihood ratio of "learnt from model k" to "learnt elsewhere", if a
   learner repeats its teacher's label with probability a, ``REPEATS``. The references' mean L_k is taken away, since
   some models look like everybody.
2. Where scores are shown, or values: the cosine of the suspect's and model k's deviations, C_k, as in ``siblings``.
3. An account's T_k is L_k in standard deviations over all models, with C_k likewise added where there is one.

T_k over all accounts is the greatest of theirs. All of it treats the K + 1 models alike. So if the suspect came to be
without the target, the rank of T_0 among all T_k is uniform whatever the suspect is, and the p-value of that rank,
(1 + #{k > 0: T_k >= T_0}) / (K + 1), is exact. An account's own p-value counts the models whose *greatest* T_k reaches
the target's T of this account (the single-step procedure of Westfall and Young, 1993): it holds for all accounts
together, and the least of them is the verdict's. Holm's correction would ask for 20 siblings an account.

The tensors are those of ``siblings``, and ``accounts``, of shape (N,): the number of the account whose query each is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.forms import siblings
from metav_audit.bundle.forms.base import Form, Numbers, Tensors, with_hidden_classes
from metav_audit.bundle.forms.siblings import EQUAL, LEAST, MODELS, REFERENCES, SHARES, Likeness
from metav_audit.task import BoolArray, FloatArray

ACCOUNTS = "accounts"

REPEATS = 0.7
"""The probability that a learner repeats its teacher's label on an input that it learnt from."""

UNSEEN = 0.5
"""Added to the count of each label, so that none is impossible."""


def score(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Numbers:
    """Score M models; see ``MetaVerifier.scores``."""
    return rank(tensors, values, mask)[0]


def rank(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> tuple[Numbers, Numbers]:
    """Return the scores of M suspects, and the exact p-values of their ranks; see ``siblings.rank``."""
    return siblings.ranked(greatest_of(tensors, values, mask))


def greatest_of(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Likeness:
    """Return the greatest T_k over all accounts for M suspects, of shape (M, K + 1)."""
    return np.asarray(nearness_of(tensors, values, mask).max(axis=1), dtype=np.float64)


def size(tensors: Mapping[str, FloatArray], shape: tuple[int, int, int]) -> int:
    """Return the numbers of the largest array: of each suspect, or each reference, every query beside every model."""
    count = max(shape[0], len(tensors[REFERENCES])) * len(tensors[MODELS]) * shape[1]
    return max(siblings.size(tensors, shape), count)


def by_account(
    tensors: Tensors, values: NDArray[np.float64], mask: BoolArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each account's T_0, and its p-value, both of shape (M, accounts).

    >>> rng = np.random.default_rng(0)
    >>> models = np.log(rng.dirichlet(np.ones(4), (20, 32)))
    >>> tensors = {"models": models, "references": np.log(rng.dirichlet(np.ones(4), (9, 32)))}
    >>> tensors |= {"least": np.array([-9.0]), "accounts": np.arange(32) % 2}
    >>> suspect = np.where(np.arange(32)[:, None] % 2, models[7], models[0])[None]
    >>> by_account(tensors, suspect, np.ones(suspect.shape, bool))[1].round(2).tolist()
    [[0.05, 0.8]]
    """
    each = nearness_of(tensors, values, mask)
    greatest = each[:, :, 1:].max(axis=1)
    own = each[:, :, 0]
    reached = (greatest[:, None, :] >= own[:, :, None] - EQUAL).sum(axis=2)
    return own, np.asarray((1 + reached) / each.shape[2], dtype=np.float64)


def nearness_of(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Return T_k of each account for M suspects, of shape (M, accounts, K + 1)."""
    return np.stack([_nearness(*part) for part in _parts(tensors, values, mask)], axis=1)


def _parts(
    tensors: Tensors, values: NDArray[np.float64], mask: BoolArray
) -> Iterator[tuple[Tensors, NDArray[np.float64], BoolArray]]:
    """Yield tensors, values and mask of one account's queries after another."""
    owner = tensors[ACCOUNTS]
    for account in np.unique(owner):
        rows = owner == account
        held = {
            name: tensor[:, rows] if name in (MODELS, REFERENCES, SHARES) else tensor
            for name, tensor in tensors.items()
        }
        yield held, values[:, rows], mask[:, rows]


def _nearness(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Likeness:
    if LEAST not in tensors:
        return _standard(siblings.likeness_of(tensors, values, mask))
    by_labels = _standard(_likelihood(tensors, values, mask))
    return by_labels if SHARES in tensors else by_labels + _standard(siblings.likeness_of(tensors, values, mask))


def _likelihood(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> Likeness:
    """Return L_k less the references' own, of shape (M, K + 1)."""
    classes = tensors[MODELS].shape[2]
    models, references = (tensors[name].argmax(axis=2) for name in (MODELS, REFERENCES))
    shares = (_shares(models, classes) + _shares(references, classes)) / 2
    usual = (len(models) * shares + UNSEEN) / (len(models) + UNSEEN * classes)
    labels = with_hidden_classes(values, mask).argmax(axis=2)
    told = _log_ratios(labels, models, usual, np.asarray(mask.any(axis=2)))
    # What the references would have shown of the queries that this suspect answered.
    asked, group = np.unique(mask.any(axis=2), axis=0, return_inverse=True)
    everyone = np.stack(
        [_log_ratios(references, models, usual, np.broadcast_to(one, references.shape)).mean(axis=0) for one in asked]
    )
    return np.asarray(told - everyone[group.ravel()], dtype=np.float64)


def _log_ratios(
    labels: NDArray[np.int64], models: NDArray[np.int64], usual: NDArray[np.float64], answered: BoolArray
) -> Likeness:
    rarity = usual[np.arange(len(usual)), labels]
    likewise = np.log(REPEATS / rarity + 1 - REPEATS)
    same = labels[:, None] == models[None]
    return np.asarray((np.where(same, likewise[:, None], np.log(1 - REPEATS)) * answered[:, None]).sum(axis=2))


def _shares(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return the share of each label, of shape (N, classes)."""
    return np.asarray((labels[:, :, None] == np.arange(classes)).mean(axis=0), dtype=np.float64)


def _standard(likeness: Likeness) -> Likeness:
    """Return likenesses in standard deviations over all models, the target among them."""
    apart = likeness - likeness.mean(axis=1, keepdims=True)
    return np.asarray(apart / (likeness.std(axis=1, keepdims=True) + EQUAL), dtype=np.float64)


FORM = Form(score, rank, siblings.seen, size, by_account, standing=greatest_of, family=siblings.family_of)
