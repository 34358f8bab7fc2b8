"""CatBoost's models, from its own files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from metav_audit.zoo.formats.base import Format, Given, Said, made_by


def _pack(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path))
        return path.read_bytes()


def _unpack(content: bytes, _: bool) -> Any:
    import catboost

    return catboost.CatBoost().load_model(blob=content)


def _answer(model: Any, given: Given) -> Said:
    fed = given.fed
    if given.feed == "frame":
        fed = fed.astype({name: str for name in fed.columns if fed[name].dtype == "category"})
    if not given.task.output.labelled:
        return Said("values", model.predict(fed, prediction_type="RawFormulaVal", thread_count=1))
    return Said("logits", model.predict(fed, prediction_type="RawFormulaVal", thread_count=1))


FORMAT = Format(
    name="catboost",
    title="a CatBoost model",
    package="catboost",
    extra="catboost",
    endings=(".cbm",),
    owns=made_by("catboost"),
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
