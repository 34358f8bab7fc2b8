"""A table in miniature, and owners of other libraries' models: programs that fit them, files, projects."""

from __future__ import annotations

import io
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
    independent={Split.FIT: 2, Split.CALIBRATION: 20, Split.TEST: 0},
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
        n_estimators=12, min_child_samples=4, subsample=0.8, subsample_freq=1, n_jobs=1, verbose=-1, random_state=seed
    ).fit(data.inputs, data.labels)


def catboost(seed: int, data: LabelledData):
    """CatBoost's program, on labels that are words."""
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=40, depth=6, learning_rate=0.4, thread_count=1, verbose=False, allow_writing_files=False,
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
    """A forest's program; the target is what it was exported to."""
    return pickle(seed, data)


def pickle(seed: int, data: LabelledData):
    """A forest's program, whose target lies in a pickle."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(12, min_samples_leaf=2, random_state=seed).fit(data.inputs, data.labels)


PROGRAMS = {each.__name__: each for each in (xgboost, lightgbm, catboost, sklearn, onnx, pickle)}


def as_onnx(forest) -> bytes:
    """A forest of scikit-learn's as an ONNX file that gives label and probabilities."""
    from onnx import TensorProto, helper

    told: dict[str, list] = {name: [] for name in (*_NODES, *_LEAVES)}
    for number, tree in enumerate(each.tree_ for each in forest.estimators_):
        leaf = tree.children_left < 0
        # Inputs are float32: of the thresholds the next such number below decides as they do.
        low = tree.threshold.astype(np.float32)
        low = np.where(low > tree.threshold, np.nextafter(low, np.float32(-np.inf)), low)
        columns = (
            np.full(tree.node_count, number), np.arange(tree.node_count), np.where(leaf, 0, tree.feature),
            np.where(leaf, np.float32(0), low), np.where(leaf, 0, tree.children_left),
            np.where(leaf, 0, tree.children_right),
        )  # fmt: skip
        for name, column in zip(_NODES, columns, strict=False):
            told[name] += column.tolist()
        told["nodes_modes"] += ["LEAF" if each else "BRANCH_LEQ" for each in leaf]
        for node in np.flatnonzero(leaf).tolist():
            shares = tree.value[node, 0] / tree.value[node, 0].sum() / len(forest.estimators_)
            for name, column in zip(_LEAVES, ([number] * 2, [node] * 2, [0, 1], shares.tolist()), strict=True):
                told[name] += column
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1],
        post_transform="NONE", **told,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", TABLE.domain.shape[0]])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
        ],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=sets, ir_version=9).SerializeToString()


_NODES = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_truenodeids", "nodes_falsenodeids",
    "nodes_modes",
)  # fmt: skip
_LEAVES = ("class_treeids", "class_nodeids", "class_ids", "class_weights")


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
        "training": {"program": f"tests.tables:{kind}", "siblings": 39},
        "zoo": {"preset": preset},
        "fingerprint": {"queries": 80},
        "natural": {"count": 4},
        "rates": {"false_match": 0.1, "false_no_match": 0.3},
    }
    (folder / "project.toml").write_text(tomlkit.dumps(told))
    return folder / "project.toml"


def shares_of(network, inputs: np.ndarray) -> np.ndarray:
    """Probabilities that a target gives."""
    with torch.no_grad():
        return network(torch.from_numpy(inputs)).double().exp().numpy()
