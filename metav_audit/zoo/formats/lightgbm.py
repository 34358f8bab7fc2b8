"""LightGBM's boosters, from its own text files."""

from __future__ import annotations

from typing import Any

import numpy as np

from metav_audit.zoo.formats.base import Format, Given, Said, made_by


def _pack(model: Any) -> bytes:
    booster = getattr(model, "booster_", model)
    text: str = booster.model_to_string()
    return text.encode()


def _unpack(content: bytes, _: bool) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=content.decode())


def _answer(booster: Any, given: Given) -> Said:
    plain = given.task.output.labelled and booster.num_model_per_iteration() == 1
    fed = given.fed if given.feed == "frame" else given.flat.astype(np.float64)
    numbers = booster.predict(fed, raw_score=plain, num_threads=1, validate_features=False)
    return Said("logits", numbers) if plain else given.shares(numbers)


FORMAT = Format(
    name="lightgbm",
    title="a LightGBM model",
    package="lightgbm",
    extra="lightgbm",
    endings=(".lgb", ".txt"),
    owns=made_by("lightgbm"),
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
