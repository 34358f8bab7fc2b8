"""The registry of formats: a line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from metav_audit.zoo.formats import answers, catboost, exported, learner, lightgbm, onnx, pickled, sklearn, xgboost
from metav_audit.zoo.formats.base import Format

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        each.FORMAT.name: each.FORMAT
        for each in (answers, xgboost, lightgbm, catboost, onnx, learner, sklearn, pickled, exported)
    }
)
"""Formats by name; of those that might own a model the first does."""


def format_of_file(path: str) -> Format | None:
    """Return the format that a file's ending names, or None."""
    ending = Path(path).suffix.lower()
    return next((each for each in FORMATS.values() if ending in each.endings), None)


def known_endings() -> set[str]:
    """Return the endings of files that a target may have."""
    return {".pt2", ".pt", ".pth", ".keras", *(ending for each in FORMATS.values() for ending in each.endings)}


def format_of(model: Any) -> Format | None:
    """Return the format of a model in memory, or None."""
    return next((each for each in FORMATS.values() if each.owns(model)), None)
