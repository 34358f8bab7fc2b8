"""The forward pass of each form of meta-verifier that votes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.task import LOG_FLOOR, BoolArray

TIE = 1e-6
"""A bit whose two sides lie closer than this, in nats, is spelled by neither."""


Tensors = Mapping[str, NDArray[np.float64]]


def _joint(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    standard = np.where(mask, (values - tensors["reference"]) / tensors["scale"], 0.0)
    hidden = standard.reshape(len(values), -1) @ tensors["hidden.weight"].T + tensors["hidden.bias"]
    logits = np.maximum(hidden, 0.0) @ tensors["output.weight"].T + tensors["output.bias"]
    return _sigmoid(logits[:, 0])


def _agreement(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    shown = mask.any(axis=2)
    labels = np.where(mask, values, -np.inf).argmax(axis=2)
    agrees = (labels == tensors["labels"].astype(np.int64)) & shown
    return np.asarray(agrees.sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)


def _bits(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    logs = _with_hidden_classes(values, mask)
    plus = tensors["splits"] > 0
    weights = plus / plus.sum(axis=2, keepdims=True) - ~plus / (~plus).sum(axis=2, keepdims=True)
    read = np.einsum("mnc,nkc->mnk", logs, weights)
    shown = np.asarray(mask.any(axis=2))
    right = (tensors["bits"] * read > TIE) & shown[:, :, None]
    counted = shown.sum(axis=1) * read.shape[2]
    return np.asarray(right.sum(axis=(1, 2)) / np.maximum(counted, 1), dtype=np.float64)


def _local(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    relative = np.where(mask, (values - tensors["reference"]) / tensors["scale"], 0.0)
    each = _sigmoid((relative * tensors["weight"]).sum(axis=2) + tensors["bias"])
    shown = mask.any(axis=2)
    return np.asarray((each * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)


def _correlation(tensors: Tensors, values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Score 1 less the mean distance of cosines, over all pairs of queries of which anything was shown."""
    own = _cosines(np.exp(tensors["reference"]))
    shown = np.asarray(mask.any(axis=2))
    apart = np.abs(_cosines(np.exp(_with_hidden_classes(values, mask))) - own)
    pairs = shown[:, :, None] & shown[:, None, :] & ~np.eye(len(own), dtype=np.bool_)
    return np.asarray(1.0 - (apart * pairs).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1), dtype=np.float64)


def _cosines(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2), dtype=np.float64)


def _with_hidden_classes(values: NDArray[np.float64], mask: BoolArray) -> NDArray[np.float64]:
    """Give hidden classes equal shares of the probability not shown; with a label alone its side of a split wins."""
    hidden = np.maximum((~mask).sum(axis=2, keepdims=True), 1)
    rest = 1.0 - np.where(mask, np.exp(np.where(mask, values, 0.0)), 0.0).sum(axis=2, keepdims=True)
    share = np.log(np.maximum(rest / hidden, np.exp(LOG_FLOOR)))
    return np.where(mask, values, share)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)
