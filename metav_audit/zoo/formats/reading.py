"""The one way from a file, or from an object in memory, to a model of another library that can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError, MetavAuditError
from metav_audit.files import read_regular
from metav_audit.task import TaskSpec
from metav_audit.zoo.formats import exported
from metav_audit.zoo.formats.base import Feed, Format, Given, Outputs
from metav_audit.zoo.formats.opaque import Form, Opaque
from metav_audit.zoo.formats.registry import FORMATS, format_of

MOST_BYTES = 4 << 30

NEAR = 1e-3
"""By how much probabilities' sums may differ from 1."""


def read_opaque(
    path: Path, form: Format, task: TaskSpec, feed: Feed, outputs: Outputs | None, *, trusted: bool = False
) -> Opaque:
    """Read a model of another library from its own file.

    Args:
        path: the file.
        form: its format.
        task: what it must take and give.
        feed: how it wants its inputs.
        outputs: what it gives, where its format cannot tell; by default it is looked at.
        trusted: whether its owner lets it run code.

    Raises:
        ConfigurationError: the file cannot be read, or its library is not installed, or it must be trusted first.
        DataError: it is no such file.
    """
    form.check_installed()
    try:
        content = read_regular(path, MOST_BYTES, follow=True)
    except OSError as error:
        raise ConfigurationError(f"cannot read the target model {path}: {error.strerror or error}") from None
    try:
        model = form.unpack(content, trusted)
    except MetavAuditError as error:
        raise type(error)(f"{path}: {error}") from error
    except FOREIGN as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise DataError(
            f"{path} is no file of {form.title}, or is damaged: save the model again with its library's own function "
            f"({type(error).__name__}: {first[:300]})"
        ) from error
    if form.name == "pickle":
        return as_opaque(model, task, feed, outputs, trusted=trusted, what=str(path))
    return _formed(form, content, model, task, feed, outputs, trusted=trusted)


def as_opaque(
    model: Any, task: TaskSpec, feed: Feed, outputs: Outputs | None, *, trusted: bool = False, what: str = "the model"
) -> Opaque:
    """Make a model of another library one that can be asked; see ``read_opaque``.

    Raises:
        ConfigurationError: no format knows it.
        DataError: it cannot be packed.
    """
    form = format_of(model)
    if form is None and trusted:
        form = FORMATS["pickle"]
    if form is None:
        raise ConfigurationError(
            f"{what} gives {type(model).__name__}, not a torch.nn.Module, nor a model of scikit-learn, XGBoost, "
            "LightGBM, CatBoost or ONNX: docs/formats.md says what can be brought"
        )
    form.check_installed()
    try:
        packed = exported.pack_network(model, task.domain.shape) if form.name == "exported" else form.pack(model)
        # A type that would not be read back is found now, and not when the store is opened; our own are known.
        again = model if form.name == "learner" else form.unpack(packed, trusted)
    except MetavAuditError as error:
        raise type(error)(f"{what}: {error}") from error
    except FOREIGN as error:
        raise DataError(f"{what}, {form.title}, cannot be kept: {type(error).__name__}: {error}") from error
    return _formed(form, packed, again if form.name == "exported" else model, task, feed, outputs, trusted=trusted)


def _formed(
    form: Format, content: bytes, model: Any, task: TaskSpec, feed: Feed, outputs: Outputs | None, *, trusted: bool
) -> Opaque:
    told: Form = {"format": form.name, "feed": feed}
    classes = getattr(model, "classes_", None)
    if task.output.labelled and classes is not None:
        told["classes"] = columns_of(np.asarray(classes).tolist(), task)
        if told["classes"] == list(range(task.output.size)):
            del told["classes"]
    if task.output.labelled and form.name in ("onnx", "exported"):
        told["outputs"] = outputs or _recognised(form, content, task, feed, trusted=trusted)
    return Opaque(task, told, content, trusted=trusted)


def columns_of(classes: Sequence[Any], task: TaskSpec) -> list[int]:
    """Return the numbers of a model's own classes, which are the task's labels or numbers from 0.

    Raises:
        DataError: one is neither.
    """
    labels = list(task.output.labels)
    found = []
    for each in classes:
        if isinstance(each, str) and each in labels:
            found.append(labels.index(each))
        elif not isinstance(each, str) and float(each) == int(each) and 0 <= int(each) < len(labels):
            found.append(int(each))
        else:
            raise DataError(
                f"the model knows a class {each!r}, the task's labels are {', '.join(map(repr, labels[:10]))}: mend "
                "the task, or train the model on these or on numbers from 0"
            )
    return found


def _recognised(form: Format, content: bytes, task: TaskSpec, feed: Feed, *, trusted: bool) -> Outputs:
    """Look at what a classifier gives: probabilities lie in 0 .. 1 and sum to 1, whatever it is asked."""
    inputs = task.domain.sample(16, np.random.default_rng(0))
    said = form.answer(form.unpack(content, trusted), Given(inputs, task, feed, "logits"))
    return "probabilities" if are_probabilities(np.asarray(said.numbers, dtype=np.float64)) else said.outputs


def are_probabilities(numbers: np.ndarray[Any, Any]) -> bool:
    """Say whether numbers of shape (n, columns) are probabilities in every row.

    >>> are_probabilities(np.array([[0.2, 0.8], [1.0, 0.0]])), are_probabilities(np.array([[0.2, 1.8], [1.0, 0.0]]))
    (True, False)
    """
    table = numbers.reshape(len(numbers), -1)
    inside = bool((table >= -NEAR).all() and (table <= 1 + NEAR).all())
    return inside and (table.shape[1] == 1 or bool((np.abs(table.sum(axis=1) - 1) <= NEAR).all()))


def is_opaque(model: object) -> bool:
    """Say whether ``module:function`` gave a model of another library."""
    return not isinstance(model, nn.Module) and format_of(model) is not None
