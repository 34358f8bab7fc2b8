"""Boosted trees on Adult incomes as targets: what siblings say of strangers' copies and of innocents.

python -m tests.bench.trees --data-dir ../shared/data --root .bench/trees

Owners are a pipeline of scikit-learn's that takes data frames, and XGBoost's and LightGBM's boosters. Strangers have
rows that no owner saw, and other learners; copies are tuned on, thinned and rounded by each library's own means.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import tomlkit
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle
from metav_audit.evaluation.conditions import VIEWS
from metav_audit.files import write_atomically
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.progress import ProgressLine
from metav_audit.statistics import clopper_pearson, roc_auc
from metav_audit.task import Features
from metav_audit.verdict import Rule, VerdictOutcome
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import LabelledData, load_data
from metav_audit.zoo.formats.base import frame_of
from metav_audit.zoo.formats.registry import FORMATS
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign import tasks
from tests.bench.foreign.programs import ADULT
from tests.bench.foreign.tasks import PARTS

Array = NDArray[Any]
Predict = Callable[[NDArray[np.float32]], Array]
KINDS = {"histogram": ".skops", "extreme": ".ubj", "light": ".lgb"}
SIZES = (4000, 4000, 8000, 4800)
"""Of the parts: what an owner trains on and holds back is less than what is left to choose queries from."""
VIEW_NAMES = ("full", "label")
CATEGORIES = [column.name for column in ADULT.domain.columns if hasattr(column, "categories")]
DERIVED = ("modified", "soft", "hard")


# The owners' programs.


def histogram(seed: int, data: LabelledData) -> Any:
    """A pipeline that takes data frames: one-hot categories, then histogram boosting with its own validation part."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES), remainder="passthrough"
    )
    trees = HistGradientBoostingClassifier(
        max_iter=120, learning_rate=0.1, max_leaf_nodes=24, max_features=0.5, early_stopping=True,
        validation_fraction=0.2, n_iter_no_change=30, random_state=seed,
    )  # fmt: skip
    return make_pipeline(columns, trees).fit(frame_of(data.inputs, ADULT), np.array(ADULT.output.labels)[data.labels])


def extreme(seed: int, data: LabelledData) -> Any:
    """XGBoost's trees, each on some of the rows and columns."""
    import xgboost

    return xgboost.XGBClassifier(
        n_estimators=100, max_depth=6, learning_rate=0.3, subsample=0.7, colsample_bytree=0.7, n_jobs=1,
        random_state=seed,
    ).fit(_rows(data.inputs), data.labels)  # fmt: skip


def light(seed: int, data: LabelledData) -> Any:
    """LightGBM's trees, each on some of the rows and columns."""
    import lightgbm

    return lightgbm.LGBMClassifier(
        n_estimators=100, num_leaves=31, learning_rate=0.1, subsample=0.7, subsample_freq=1, colsample_bytree=0.7,
        n_jobs=1, verbose=-1, random_state=seed,
    ).fit(_rows(data.inputs), data.labels)  # fmt: skip


def _rows(inputs: Array) -> Array:
    return inputs.reshape(len(inputs), -1)


def write_owner(kind: str, number: int, root: Path, data: Path, preset: str) -> Path:
    """Write an owner's folder ``root``/KIND-NUMBER, unless it is there; return its project.toml."""
    project = root / f"{kind}-{number}" / "project.toml"
    if project.exists():
        return project
    for part, (inputs, labels) in tasks.adult(data, number, SIZES).items():
        buffer = io.BytesIO()
        np.savez(buffer, x=inputs, y=labels)
        write_atomically(project.parent / f"{part}.npz", buffer.getvalue())
    target, form = globals()[kind](number, read_part(project, "train")), {"histogram": "sklearn", "extreme": "xgboost"}
    packed = FORMATS[form.get(kind, "lightgbm")].pack(target)
    write_atomically(project.parent / f"target{KINDS[kind]}", packed)
    spec = ADULT.to_json()
    told = {
        "name": f"{kind}-{number}",
        "seed": number,
        "task": {**spec["output"], "input": spec["input"]},
        "target": {"model": f"target{KINDS[kind]}", "feed": "frame" if kind == "histogram" else "array"},
        "data": {part: f"{part}.npz" for part in PARTS[:3]},
        "training": {"program": f"tests.bench.trees:{kind}"},
        "zoo": {"preset": preset},
    }
    write_atomically(project, tomlkit.dumps(told).encode())
    return project


def read_part(project: Path, part: str) -> LabelledData:
    """Return one of the folder's parts."""
    return load_data(str(project.parent / f"{part}.npz"), ADULT, part)


# Strangers.


@dataclass(frozen=True)
class Suspect:
    """A model that a stranger serves: from inputs to the probability of the second class, of shape (n,)."""

    name: str
    stratum: str
    derived: bool
    predict: Predict


def _asked(model: Any, frames: bool) -> Predict:
    return lambda inputs: model.predict_proba(frame_of(inputs, ADULT) if frames else _rows(inputs))[:, 1]


def _of_margins(model: Any) -> Predict:
    return lambda inputs: 1 / (1 + np.exp(-model.predict(_rows(inputs))))


def _classifiers(seed: int) -> dict[str, Any]:
    import lightgbm
    import xgboost
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    return {
        "forest": RandomForestClassifier(150, min_samples_leaf=2, random_state=seed),
        "extra-trees": ExtraTreesClassifier(120, min_samples_leaf=2, random_state=seed),
        "perceptron": MLPClassifier(hidden_layer_sizes=(80,), max_iter=30, random_state=seed),
        "boosting": HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=15, random_state=seed),
        "xgboost": xgboost.XGBClassifier(n_estimators=80, max_depth=5, subsample=0.8, n_jobs=1, random_state=seed),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=80, num_leaves=20, n_jobs=1, verbose=-1, random_state=seed),
        "linear": LogisticRegression(max_iter=300),
    }


def _regressors(seed: int) -> dict[str, Any]:
    import lightgbm
    import xgboost
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.neural_network import MLPRegressor

    return {
        "forest": RandomForestRegressor(100, min_samples_leaf=2, max_features=0.5, random_state=seed),
        "perceptron": MLPRegressor(hidden_layer_sizes=(80,), max_iter=40, random_state=seed),
        "boosting": HistGradientBoostingRegressor(max_iter=150, random_state=seed),
        "xgboost": xgboost.XGBRegressor(n_estimators=120, max_depth=6, n_jobs=1, random_state=seed),
        "lightgbm": lightgbm.LGBMRegressor(n_estimators=150, n_jobs=1, verbose=-1, random_state=seed),
    }


def _logit(shares: Array) -> Array:
    held = np.clip(shares, 1e-3, 1 - 1e-3)
    return np.log(held / (1 - held))


def plans(kind: str, project: Path, number: int) -> Iterator[tuple[str, str, bool, Callable[[], Predict]]]:
    """Yield each suspect's name, stratum and side, and what makes it."""
    frames, program = kind == "histogram", globals()[kind]
    train, strangers = read_part(project, "train"), read_part(project, "strangers")
    target = program(number, train)
    asked = _asked(target, frames)
    mine = strangers.take(np.arange(4000))
    for name, make in _modified(kind, target, mine):
        yield name, "modified", True, make
    sibling, rival = program(90_001, train), program(90_002, mine)
    for teacher, stratum, derived in (
        (asked, "", True), (_asked(sibling, frames), "thief of a sibling", False),
        (_asked(rival, frames), "thief of an independent", False),
    ):  # fmt: skip
        for name in _regressors(0):
            yield f"scores-{name}", stratum or "soft", derived, partial(_soft, name, teacher, mine, number)
        for name in ("forest", "perceptron", "boosting", "xgboost", "lightgbm"):
            yield f"labels-{name}", stratum or "hard", derived, partial(_hard, name, teacher, mine, number)
    for at in range(6):
        yield f"rerun-{at}", "owner's program and data", False, partial(_rerun, program, 70_000 + at, train, frames)
        yield f"rival-{at}", "owner's program, other data", False, partial(_rerun, program, 80_000 + at, mine, frames)
    for what, data in (("owner's data", train), ("other data", mine)):
        for name in _classifiers(0):
            yield f"own-{name}", what, False, partial(_fitted, name, number + 50, data)


def _rerun(program: Callable[[int, LabelledData], Any], seed: int, data: LabelledData, frames: bool) -> Predict:
    some = np.random.default_rng(seed).permutation(len(data))[: int(0.9 * len(data))] if seed >= 80_000 else None
    return _asked(program(seed, data if some is None else data.take(some)), frames)


def _fitted(name: str, seed: int, data: LabelledData) -> Predict:
    return _asked(_classifiers(seed)[name].fit(_rows(data.inputs), data.labels), frames=False)


def _soft(name: str, teacher: Predict, data: LabelledData, seed: int) -> Predict:
    return _of_margins(_regressors(seed)[name].fit(_rows(data.inputs), _logit(teacher(data.inputs))))


def _hard(name: str, teacher: Predict, data: LabelledData, seed: int) -> Predict:
    labels = (teacher(data.inputs) > 0.5).astype(np.int64)
    return _asked(_classifiers(seed)[name].fit(_rows(data.inputs), labels), frames=False)


def _modified(kind: str, target: Any, mine: LabelledData) -> Iterator[tuple[str, Callable[[], Predict]]]:
    """Copies by each library's own means: tuned on by a few and by many trees, thinned, rounded, mixed."""
    frames = kind == "histogram"
    asked = _asked(target, frames)
    for trees in (10, 30):
        yield f"tuned-on-{trees}", partial(_tuned_on, kind, target, mine, trees)
    yield "thinned", partial(_thinned, kind, target)
    yield "rounded", lambda: lambda inputs: 1 / (1 + np.exp(-np.round(_logit(asked(inputs)) / 0.25) * 0.25))
    yield "calibrated", lambda: lambda inputs: 1 / (1 + np.exp(-(0.7 * _logit(asked(inputs)) - 0.1)))
    own = _fitted("forest", 1, mine)
    yield "mixed", lambda: lambda inputs: 0.7 * asked(inputs) + 0.3 * own(inputs)


def _tuned_on(kind: str, target: Any, data: LabelledData, trees: int) -> Predict:
    if kind == "extreme":
        import xgboost

        more = xgboost.XGBClassifier(n_estimators=trees, max_depth=6, learning_rate=0.1, n_jobs=1)
        return _asked(more.fit(_rows(data.inputs), data.labels, xgb_model=target.get_booster()), frames=False)
    if kind == "light":
        import lightgbm

        told = {"objective": "binary", "learning_rate": 0.1, "num_leaves": 31, "verbose": -1, "num_threads": 1}
        table = lightgbm.Dataset(_rows(data.inputs).astype(np.float64), data.labels, free_raw_data=False)
        booster = lightgbm.train(told, table, trees, init_model=target.booster_)
        return lambda inputs: np.asarray(booster.predict(_rows(inputs)))
    import copy

    pipeline = copy.deepcopy(target)
    trees_of = pipeline[-1].set_params(warm_start=True, max_iter=pipeline[-1].n_iter_ + trees, early_stopping=False)
    labels = np.array(ADULT.output.labels)[data.labels]
    trees_of.fit(pipeline[:-1].transform(frame_of(data.inputs, ADULT)), labels)
    return _asked(pipeline, frames=True)


def _thinned(kind: str, target: Any) -> Predict:
    """The first four fifths of the trees."""
    if kind == "extreme":
        return lambda inputs: target.predict_proba(_rows(inputs), iteration_range=(0, 80))[:, 1]
    if kind == "light":
        return lambda inputs: target.predict_proba(_rows(inputs), num_iteration=80)[:, 1]
    import copy

    pipeline = copy.deepcopy(target)
    kept = pipeline[-1]._predictors
    pipeline[-1]._predictors = kept[: int(0.8 * len(kept))]
    return _asked(pipeline, frames=True)


# What is said of them.


def told_of(bundle: FingerprintBundle, suspects: list[Suspect], view: str) -> list[dict[str, Any]]:
    """Return a row a suspect: its score, its rank's p-value, and the verdict's outcome."""
    space, shown_as = bundle.task.output, VIEWS[view]
    shares = np.stack([each.predict(bundle.inputs) for each in suspects])
    raw = np.stack([1 - shares, shares], axis=2)
    values = space.canonical(raw, space.score_kinds[0]).astype(np.float32)
    shown = shown_as.apply(Features(values, np.ones(values.shape, dtype=np.bool_)), space)
    rule = Rule.through(bundle, shown_as)
    return [
        {
            "name": each.name, "stratum": each.stratum, "derived": each.derived, "score": one.score,
            "p": one.p_value_siblings, "outcome": rule.conclude(one).outcome.value,
        }
        for each, one in zip(suspects, rule.score_all(shown), strict=True)
    ]  # fmt: skip


def lines(owner: str, view: str, queries: int, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what a reader wants to know of one owner and view."""
    derived = [row for row in rows if row["derived"]]
    innocent = [row for row in rows if not row["derived"]]

    def auc(stratum: str | None = None) -> float:
        mine = [row["score"] for row in derived if stratum in (None, row["stratum"])]
        return float(roc_auc(np.array(mine), np.array([row["score"] for row in innocent])))

    def count(some: list[dict[str, Any]], outcome: VerdictOutcome) -> int:
        return sum(row["outcome"] == outcome for row in some)

    accused = count(innocent, VerdictOutcome.MATCH)
    parts = "  ".join(f"{name} {auc(name):.3f}" for name in DERIVED)
    yield (
        f"{owner:<13}{view:<7}{queries:>4}  AUC {auc():.3f} ({parts})  found {count(derived, VerdictOutcome.MATCH)}/"
        f"{len(derived)}  cleared {count(derived, VerdictOutcome.NO_MATCH)}  accused {accused}/{len(innocent)} (at "
        f"most {clopper_pearson(accused, len(innocent))[1]:.2f})  no match {count(innocent, VerdictOutcome.NO_MATCH)}"
    )
    if accused:
        names = [f"{row['name']} ({row['stratum']})" for row in innocent if row["outcome"] == VerdictOutcome.MATCH]
        yield f"{'':<13}accused: {', '.join(names)}"


def main() -> None:
    """Print what is said of each owner's suspects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("owners", nargs="*", default=[f"{kind}-1" for kind in KINDS], help="KIND-NUMBER")
    parser.add_argument("--root", type=Path, default=Path(".bench/trees"))
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--queries", action="append", type=int, default=[])
    parser.add_argument("--jobs", type=int)
    told = parser.parse_args()
    kept = []
    for owner in told.owners:
        kind, _, number = owner.rpartition("-")
        path = write_owner(kind, int(number), told.root, told.data_dir, told.preset)
        project = load_project(path)
        zoo = build_zoo(project, jobs=told.jobs, progress=ProgressLine(f"{owner}: models trained"))
        asked = list(plans(kind, path, int(number)))
        made = joblib.Parallel(n_jobs=told.jobs or -1, prefer="threads")(joblib.delayed(plan[3])() for plan in asked)
        suspects = [Suspect(*plan[:3], predict) for plan, predict in zip(asked, made, strict=True)]
        for queries in told.queries or [64]:
            making = Making.of(open_workshop(project), zoo, queries=queries)
            bundle, _ = fit_bundle(making, path.parent / f"siblings-{queries}.bundle")
            for view in VIEW_NAMES:
                rows = told_of(bundle, suspects, view)
                kept.append({"owner": owner, "view": view, "queries": queries, "rows": rows})
                print("\n".join(lines(owner, view, queries, rows)), flush=True)
    write_atomically(told.root / "figures.json", json.dumps(kept, indent=1).encode())


if __name__ == "__main__":
    main()
