"""A table in miniature, and owners of other libraries' models: programs that fit them, files, projects."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import tomlkit
import torch

from metav_audit.task import ClassScores, TabularDomain, TaskSpec
from metav_audit.task.domains.tabular import CategoryColumn, NumberColumn
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.formats.base import frame_of
from metav_audit.zoo.formats.registry import FORMATS
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset

SMALL = Preset(
    derived={Split.FIT: 1, Split.CALIBRATION: 4, Split.TEST: 0},
    independent={Split.FIT: 2, Split.CALIBRATION: 7, Split.TEST: 0},
    twins={Split.FIT: 0.0, Split.CALIBRATION: 0.0, Split.TEST: 0.0},
)
KINDS = ("rare", "usual", "other")
TABLE = TaskSpec(
    TabularDomain(
        (
            NumberColumn("age", 0, 100),
            NumberColumn("weight", 40, 120, 0.5),
            NumberColumn("pulse", 40, 200),
            CategoryColumn("kind", KINDS),
        )
    ),
    ClassScores(("no", "yes")),
)
FILES = {
    "xgboost": "target.ubj",
    "lightgbm": "target.lgb",
    "catboost": "target.cbm",
    "onnx": "target.onnx",
    "sklearn": "target.skops",
    "pickle": "target.joblib",
}
"""Formats, and the file of each kind of target."""
FRAMES = ("sklearn",)
"""Formats whose target here takes data frames."""


def rows(seed: int, count: int) -> LabelledData:
    """Rows whose label hangs on three columns, and in a fifth of them on chance."""
    rng = np.random.default_rng(seed)
    inputs = TABLE.domain.sample(count, rng)
    score = inputs[:, 0] + inputs[:, 2] * (inputs[:, 3] * 2 - 1)
    chance = rng.uniform(size=count) < 0.2
    labels = np.where(chance, rng.integers(0, 2, count), score > 0.4).astype(np.int64)
    return LabelledData(inputs, labels)


def xgboost(seed: int, data: LabelledData):
    """XGBoost's program."""
    import xgboost

    return xgboost.XGBClassifier(
        n_estimators=12, max_depth=4, subsample=0.6, colsample_bytree=0.7, n_jobs=1, random_state=seed
    ).fit(data.inputs, data.labels)


def lightgbm(seed: int, data: LabelledData):
    """LightGBM's program."""
    import lightgbm

    return lightgbm.LGBMClassifier(
        n_estimators=12, min_child_samples=4, subsample=0.6, subsample_freq=1, n_jobs=1, verbose=-1, random_state=seed
    ).fit(data.inputs, data.labels)


def catboost(seed: int, data: LabelledData):
    """CatBoost's program, on labels that are words."""
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=12, depth=4, learning_rate=0.4, thread_count=1, verbose=False, allow_writing_files=False,
        random_seed=seed,
    )  # fmt: skip
    return model.fit(data.inputs, np.array(TABLE.output.labels)[data.labels])


def sklearn(seed: int, data: LabelledData):
    """A pipeline's program: frames in, words out."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(sparse_output=False), ["kind"]), remainder="passthrough")
    forest = RandomForestClassifier(12, min_samples_leaf=2, random_state=seed)
    return make_pipeline(columns, forest).fit(frame_of(data.inputs, TABLE), np.array(TABLE.output.labels)[data.labels])


def onnx(seed: int, data: LabelledData):
    """A network's program; the target is what it was exported to."""
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((16,), max_iter=200, learning_rate_init=0.02, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return network.fit(data.inputs, data.labels)


def pickle(seed: int, data: LabelledData):
    """A forest's program, whose target lies in a pickle."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(12, min_samples_leaf=2, random_state=seed).fit(data.inputs, data.labels)


PROGRAMS = {each.__name__: each for each in (xgboost, lightgbm, catboost, sklearn, onnx, pickle)}


def as_onnx(network) -> bytes:
    """A perceptron of scikit-learn's as an ONNX file that gives one probability."""
    from onnx import TensorProto, helper, numpy_helper

    parts = {
        "w0": network.coefs_[0], "b0": network.intercepts_[0], "w1": network.coefs_[1], "b1": network.intercepts_[1],
    }  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w1", "b1"], ["z"]),
            helper.make_node("Sigmoid", ["z"], ["probability"]),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", TABLE.domain.shape[0]])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in parts.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


def content_of(kind: str, model) -> bytes:
    """What a model's own file holds."""
    return as_onnx(model) if kind == "onnx" else FORMATS[kind].pack(model)


def write_table(folder: Path, kind: str, preset: str = "small", **target) -> Path:
    """Write an owner's data, target and project, whose zoo and siblings are few; return project.toml."""
    PRESETS.update(small=SMALL)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": rows(1, 160), "heldout": rows(2, 160), "validation": rows(3, 120)}
    for name, part in parts.items():
        buffer = io.BytesIO()
        np.savez(buffer, x=part.inputs, y=part.labels)
        (folder / f"{name}.npz").write_bytes(buffer.getvalue())
    (folder / FILES[kind]).write_bytes(content_of(kind, PROGRAMS[kind](1, parts["train"])))
    fields = {"model": FILES[kind], "feed": "frame" if kind in FRAMES else "array", "trust": kind == "pickle", **target}
    spec = TABLE.to_json()
    told = {
        "name": kind,
        "seed": 7,
        "task": {**spec["output"], "input": spec["input"]},
        "target": fields,
        "data": {name: f"{name}.npz" for name in parts},
        "training": {"program": f"tests.tables:{kind}", "siblings": 9},
        "zoo": {"preset": preset},
        "fingerprint": {"queries": 80},
        "natural": {"count": 4},
        "rates": {"false_match": 0.5, "false_no_match": 0.5},
    }
    (folder / "project.toml").write_text(tomlkit.dumps(told))
    return folder / "project.toml"


def shares_of(network, inputs: np.ndarray) -> np.ndarray:
    """Probabilities that a target gives."""
    with torch.no_grad():
        return network(torch.from_numpy(inputs)).double().exp().numpy()
