"""Wrong ways to send an input, or to read an answer: what the target answers then, an auditor can recognise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import FloatArray, ImageDomain, Inputs, ScoreKind, TabularDomain, TaskSpec
from metav_audit.task.domains.tabular import NumberColumn
from metav_audit.zoo.formats.opaque import answers_anything

Misread = tuple[str, Inputs]
"""What went wrong, in words, and what then reaches the model."""


def misread_answers(
    network: nn.Module, task: TaskSpec, inputs: Inputs, usual: Inputs
) -> Iterator[tuple[str, FloatArray]]:
    """Yield mistakes, and a model's features where inputs or answers are so misread, float32 of shape (N, D).

    A model whose answers alone are at hand was never asked wrongly: of it only misread answers are known.

    Args:
        network: the model.
        task: what it takes and gives.
        inputs: valid inputs of shape (N, *domain.shape).
        usual: usual inputs, from which a normalisation is taken.
    """
    for name, wrong in _wrong_inputs(task, inputs, usual) if answers_anything(network) else ():
        with np.errstate(all="ignore"):
            values = features_of_all([network], wrong.astype(np.float32), task.output)[0]
        if np.isfinite(values).all() and not np.array_equal(wrong, inputs):
            yield name, values
    if task.output.labelled:
        with torch.no_grad():
            shares = torch.sigmoid(network(torch.from_numpy(inputs))).double().numpy()
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
        values = task.output.canonical(shares, ScoreKind.PROBABILITY).astype(np.float32)
        yield "a sigmoid a class was taken for a softmax", values


def _wrong_inputs(task: TaskSpec, inputs: Inputs, usual: Inputs) -> Iterator[Misread]:
    if isinstance(task.domain, ImageDomain):
        yield from _of_pictures(task.domain, inputs, usual)
    elif isinstance(task.domain, TabularDomain):
        yield from _of_rows(task.domain, inputs, usual)
    else:
        yield "elements stand in the reverse order", inputs[:, ::-1].copy()


def _of_pictures(domain: ImageDomain, inputs: Inputs, usual: Inputs) -> Iterator[Misread]:
    width = domain.high - domain.low
    unit, pool = (inputs - domain.low) / width, (usual - domain.low) / width
    channels, height, across = domain.shape
    mean, deviation = pool.mean(axis=(0, 2, 3), keepdims=True), pool.std(axis=(0, 2, 3), keepdims=True) + 1e-6
    changed = {
        "numbers of 0..1 were sent where 0..255 are meant: set scale": unit / 255,
        "numbers of 0..255 were sent where 0..1 are meant: set scale": unit * 255,
        "bright and dark are inverted": 1 - unit,
        "inputs were normalised twice": (unit - mean) / deviation,
        "inputs were brought to -1..1 twice": 2 * unit - 1,
        "colours stand in the order blue, green, red": unit[:, ::-1],
        "channels last were read as channels first: set layout": unit.transpose(0, 2, 3, 1).reshape(unit.shape),
        "channels first were read as channels last: set layout": unit.reshape(
            -1, height, across, channels
        ).transpose(0, 3, 1, 2),
        "pictures are grey where colour is meant": np.broadcast_to(unit.mean(axis=1, keepdims=True), unit.shape),
    }  # fmt: skip
    if height == across:
        changed["rows and columns are exchanged"] = unit.transpose(0, 1, 3, 2)
    variants = [*changed.items(), *(("pictures were resized badly", each) for each in _resized(unit)),
                *(("pictures were cropped to their centre", each) for each in _cropped(unit))]  # fmt: skip
    for name, wrong in variants:
        yield name, np.ascontiguousarray(domain.low + width * wrong, dtype=np.float32)


def _resized(unit: Inputs) -> Iterator[Inputs]:
    """Yield pictures of half the size, brought back: every other pixel repeated, or the mean of four."""
    count, channels, height, across = unit.shape
    even = unit[:, :, : height // 2 * 2, : across // 2 * 2].reshape(count, channels, height // 2, 2, across // 2, 2)
    for small in (even[:, :, :, 0, :, 0], even[:, :, :, 1, :, 1], even.mean(axis=(3, 5))):
        yield _stretched(small, np.arange(height) / 2 - 0.25, np.arange(across) / 2 - 0.25, np.rint)
    yield _stretched(even.mean(axis=(3, 5)), np.arange(height) / 2 - 0.25, np.arange(across) / 2 - 0.25)


def _cropped(unit: Inputs) -> Iterator[Inputs]:
    """Yield the centre of pictures, without a sixteenth or an eighth on either side, stretched to the whole."""
    for share in (16, 8):
        places = []
        for size in unit.shape[2:]:
            margin = max(1, size // share)
            inner = size - 2 * margin
            places.append(np.clip((np.arange(size) + 0.5) * inner / size - 0.5, 0, inner - 1) + margin)
        rows, columns = places
        yield _stretched(unit, rows, columns)
        yield _stretched(unit, rows, columns, np.rint)


Axis = NDArray[np.floating[Any]]


def _stretched(unit: Inputs, rows: Axis, columns: Axis, snap: Callable[[Axis], Axis] = np.asarray) -> Inputs:
    """Return pictures read at fractional places, linearly between the pixels or, where ``snap`` rounds, at the next."""
    read = unit
    for axis, places in ((2, rows), (3, columns)):
        at = np.clip(snap(places), 0, unit.shape[axis] - 1)
        low = np.floor(at).astype(np.int64)
        high, share = np.minimum(low + 1, unit.shape[axis] - 1), (at - low).astype(np.float32)
        weight = share.reshape([-1 if each == axis else 1 for each in range(4)])
        read = (1 - weight) * np.take(read, low, axis) + weight * np.take(read, high, axis)
    return read


def _of_rows(domain: TabularDomain, inputs: Inputs, usual: Inputs) -> Iterator[Misread]:
    starts = np.cumsum([0, *(column.width for column in domain.columns)])
    parts = [np.arange(start, start + column.width) for start, column in zip(starts, domain.columns, strict=False)]
    names = [column.name for column in domain.columns]
    for name, order in (
        ("columns stand in the reverse order", range(len(parts))[::-1]),
        ("columns stand in the order of their names", sorted(range(len(parts)), key=names.__getitem__)),
        ("columns are shifted by one", [*range(1, len(parts)), 0]),
    ):
        yield name, inputs[:, np.concatenate([parts[at] for at in order])]
    mean, deviation = usual.mean(axis=0), usual.std(axis=0) + 1e-6
    yield "numbers were standardised where 0..1 are meant", (inputs - mean) / deviation
    raw = inputs.copy()
    for part, column in zip(parts, domain.columns, strict=True):
        if isinstance(column, NumberColumn):
            raw[:, part] = column.low + inputs[:, part] * (column.high - column.low)
    yield "numbers in their own units were sent where 0..1 are meant", raw
