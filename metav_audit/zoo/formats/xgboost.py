"""XGBoost's boosters, from its own files."""

from __future__ import annotations

from typing import Any

from metav_audit.zoo.formats.base import Format, Given, Said, made_by


def _pack(model: Any) -> bytes:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    return bytes(booster.save_raw("ubj"))


def _unpack(content: bytes, _: bool) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(content))
    booster.set_param({"nthread": 1, "device": "cpu"})
    return booster


def _answer(booster: Any, given: Given) -> Said:
    import xgboost

    table = xgboost.DMatrix(given.fed, nthread=1, enable_categorical=True)
    names = given.feed == "frame" and booster.feature_names is not None
    labelled = given.task.output.labelled
    # Margins and not probabilities, which are rounded near 1.
    numbers = booster.predict(table, output_margin=labelled, validate_features=names)
    return Said("logits", numbers) if labelled else Said("values", numbers)


FORMAT = Format(
    name="xgboost",
    title="an XGBoost model",
    package="xgboost",
    extra="xgboost",
    endings=(".ubj", ".json"),
    owns=made_by("xgboost"),
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
