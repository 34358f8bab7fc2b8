"""Pickles and joblib's files, which run code when they are read: only where their owner says that they are trusted."""

from __future__ import annotations

import io
from typing import Any

from metav_audit.errors import ConfigurationError
from metav_audit.zoo.formats import sklearn
from metav_audit.zoo.formats.base import Format


def _unpack(content: bytes, trusted: bool) -> Any:
    if not trusted:
        raise ConfigurationError(
            "a pickle runs whatever code it holds when it is read: if the file is your own, write trust = true below "
            "[target] or give --trust; safer is skops.io.dump, or the library's own file"
        )
    import joblib

    return joblib.load(io.BytesIO(content))


def _pack(model: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


FORMAT = Format(
    name="pickle",
    title="a pickle",
    package="joblib",
    extra="sklearn",
    endings=(".joblib", ".pkl", ".pickle"),
    owns=lambda _: False,
    pack=_pack,
    unpack=_unpack,
    answer=sklearn.FORMAT.answer,
)
