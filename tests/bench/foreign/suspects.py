"""Suspects of strangers' making: copies and thieves of an owner's target, and innocents of every sort, one file each.

All but the innocents of "owner's data" are made from strangers.npz alone; a sixth of it measures them. A stored suspect
is made anew where target or data are others, but not where this code is: then take the folder suspects/ away.
"""

from __future__ import annotations

import hashlib
import io
import time
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.files import write_atomically
from metav_audit.task import ImageDomain, TaskSpec
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.store import load_weights
from tests.bench.foreign import learners, programs
from tests.bench.foreign.learners import Array, Habits, Network, Predict
from tests.bench.foreign.tasks import read_part

DERIVED = ("modified", "soft", "hard")
LEAST_SHARE = 0.7
"""Of the target's performance: a suspect below it is of no use to anyone, and left out."""
_TEST_SHARE = 6
"""The part of strangers.npz that measures is one in so many."""


@dataclass(frozen=True)
class Suspect:
    """A model that a stranger serves.

    Attributes:
        name: what it is, as "art-knockoff-soft-cnn".
        stratum: of the derived "modified", "soft" and "hard"; of the innocents "owner's data", "other data", "owner's
            recipe", "other architecture", "thief of a sibling" and "thief of an independent".
        derived: whether it was made from the target.
        performance: balanced accuracy, or R², on the strangers' own test part.
        predict: from inputs of shape (n, *domain.shape), float32, to probabilities of shape (n, classes), or to values
            of shape (n, quantities) in their units; float64.
    """

    name: str
    stratum: str
    derived: bool
    performance: float
    predict: Callable[[NDArray[np.float32]], Array]


class _Plan(NamedTuple):
    name: str
    stratum: str
    make: Callable[[], Predict]


@dataclass(frozen=True)
class Bench:
    """An owner's folder, read as a stranger and a referee need it."""

    project: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What project.toml holds."""
        return tomllib.loads(self.project.read_text(encoding="utf-8"))

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.settings["name"]).rpartition("-")[0]

    @property
    def number(self) -> int:
        """The owner's number."""
        return int(self.settings["seed"])

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        return programs.SPECS[self.task]

    @property
    def program(self) -> Callable[[int, LabelledData], nn.Module]:
        """The owner's training program."""
        return getattr(programs, self.task)  # type: ignore[no-any-return]

    def network(self) -> nn.Module:
        """Build the owner's architecture."""
        return getattr(programs, f"{self.task}_network")()  # type: ignore[no-any-return]

    @cached_property
    def target(self) -> nn.Module:
        """The protected model."""
        return load_weights(self.network(), self.project.parent / "target.safetensors", "the target's weights")

    @cached_property
    def owners(self) -> LabelledData:
        """What the target was trained on."""
        return read_part(self.project, self.task, "train")

    @cached_property
    def strangers(self) -> LabelledData:
        """What thieves and rivals have, and after it what measures them."""
        return read_part(self.project, self.task, "strangers")

    @property
    def mine(self) -> LabelledData:
        """What thieves and rivals have."""
        return self.strangers.take(np.arange(len(self.strangers) - len(self.strangers) // _TEST_SHARE))

    @property
    def test(self) -> LabelledData:
        """What measures every suspect."""
        return self.strangers.take(np.arange(len(self.mine), len(self.strangers)))

    @cached_property
    def sha256(self) -> str:
        """A hash of all that suspects are made from."""
        digest = hashlib.sha256()
        for file in ("target.safetensors", "train.npz", "strangers.npz"):
            digest.update((self.project.parent / file).read_bytes())
        return digest.hexdigest()

    def performance(self, predict: Predict) -> float:
        """Return balanced accuracy, or R², on the strangers' own test part."""
        answers, told = predict(self.test.inputs), self.test.labels
        if learners.has_classes(self.spec):
            right = answers.argmax(axis=1) == told
            return float(np.mean([right[told == label].mean() for label in np.unique(told)]))
        return float(np.mean(1 - ((answers - told) ** 2).mean(axis=0) / told.var(axis=0)))

    def seed(self, what: str) -> int:
        """Return a seed for a thing's making."""
        return zlib.crc32(f"{self.task} {self.number} {what}".encode())

    def as_suspect(self, model: nn.Module) -> Network:
        """Let a network of the owner's kind predict."""
        return Network(model, learners.has_classes(self.spec))


_HABITS = {
    "digits": Habits(40, 5e-3),
    "fashion": Habits(12, 3e-3, 64),
    "lesions": Habits(25, 2e-3, 64),
    "adult": Habits(15, 2e-3, 64),
    "warfarin": Habits(12, 1e-3),
    "california": Habits(40, 2e-3, 64),
}
"""How strangers train networks on a task."""

_STUDENTS: dict[str, Callable[[TaskSpec], nn.Module]] = {
    "cnn": lambda spec: learners.convolutions(spec, 12, 24, hidden=48),
    "cnn-flat": lambda spec: learners.convolutions(spec, 16, 32),
    "cnn-deep": lambda spec: learners.convolutions(spec, 16, 24, 32, hidden=32),
    "resnet": learners.residual,
    "mlp": lambda spec: learners.perceptron(spec, 128, 64),
    "mlp-wide": lambda spec: learners.perceptron(spec, 200),
    "mlp-deep": lambda spec: learners.perceptron(spec, 64, 48, 32),
}
"""Networks, none of the owner's shape."""


def _libraries(*, classes: bool, pictures: bool, epochs: int) -> dict[str, Callable[[int], Any]]:
    """Return builders of other libraries' learners, from a seed: of classifiers, or of regressors of one number."""
    import lightgbm
    import xgboost
    from sklearn import ensemble, linear_model, neural_network, pipeline, preprocessing

    pick = (lambda classifier, _: classifier) if classes else (lambda _, regressor: regressor)
    network = pick(neural_network.MLPClassifier, neural_network.MLPRegressor)
    forest = pick(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor)
    histogram = pick(ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
    light = pick(lightgbm.LGBMClassifier, lightgbm.LGBMRegressor)
    extreme = pick(xgboost.XGBClassifier, xgboost.XGBRegressor)
    linear = pick(linear_model.LogisticRegression(max_iter=300, C=0.3), linear_model.Ridge(1.0))

    def perceptron(widths: tuple[int, ...], epochs: int, seed: int) -> Any:
        plain = network(hidden_layer_sizes=widths, max_iter=epochs, alpha=1e-2 if classes else 1e-4, random_state=seed)
        return pipeline.make_pipeline(preprocessing.StandardScaler(with_std=classes), plain) if pictures else plain

    return {
        "sklearn-mlp": lambda seed: perceptron((80,), 2 * epochs, seed),
        "sklearn-mlp-deep": lambda seed: perceptron((64, 48), epochs, seed),
        "sklearn-forest": lambda seed: forest(150, min_samples_leaf=2, max_features="sqrt", random_state=seed),
        "sklearn-boosting": lambda seed: histogram(max_iter=80, max_leaf_nodes=15, random_state=seed),
        "sklearn-linear": lambda _: linear,
        "lightgbm": lambda seed: light(
            n_estimators=100, num_leaves=15, subsample=0.8, subsample_freq=1, n_jobs=1, verbose=-1, random_state=seed
        ),
        "xgboost": lambda seed: extreme(
            n_estimators=100, max_depth=5, learning_rate=0.1, subsample=0.8, n_jobs=1, random_state=seed
        ),
    }


def _learn(bench: Bench, kind: str, data: LabelledData, seed: int) -> Predict:
    """Let a learner of a kind learn classes (int64), probabilities or values.

    Kinds are those of ``_libraries``, and of ``_STUDENTS`` with "torch-" before; "torch-own" is the owner's
    architecture, and "-sgd" after a network's name is another optimizer.
    """
    spec, habits = bench.spec, _HABITS[bench.task]
    if kind.startswith("torch-"):
        name = kind.removeprefix("torch-").removesuffix("-sgd")
        model = bench.network() if name == "own" else _STUDENTS[name](spec)
        if kind.endswith("-sgd"):
            habits = habits._replace(rate=0.05 if learners.has_classes(spec) else 0.01, momentum=0.9)
        return learners.fit_network(spec, model, data.inputs, data.labels, habits)
    hard = data.labels.dtype == np.int64
    build = _libraries(classes=hard, pictures=isinstance(spec.domain, ImageDomain), epochs=habits.epochs)[kind]
    if hard:
        return learners.fit_scorer(build(seed), data.inputs, data.labels, spec.output.size)
    if learners.has_classes(spec) and kind.startswith("sklearn-mlp"):
        return learners.fit_joint(build(seed), data.inputs, data.labels)
    return learners.fit_numbers(lambda place: build(seed + place), spec, data.inputs, data.labels)


def _steal(bench: Bench, way: str, victim: Predict, data: LabelledData, seed: int) -> Predict:
    """Make a thief: "art-ATTACK-STUDENT", or "KIND-soft", "KIND-hard" or "KIND-rounded" with a kind of ``_learn``."""
    if way.startswith("art-"):
        attack: learners.Attack
        for attack in ("knockoff-soft", "knockoff-hard", "knockoff-adaptive", "copycat"):
            if way.startswith(f"art-{attack}-"):
                student = _STUDENTS[way.removeprefix(f"art-{attack}-")](bench.spec)
                return learners.steal(attack, victim, bench.spec, student, data, _HABITS[bench.task])
    kind, _, shown = way.rpartition("-")
    answers = victim(data.inputs)
    if shown == "hard":
        answers = answers.argmax(axis=1).astype(np.int64)
    elif shown == "rounded":
        step = bench.spec.output.scale / 5  # type: ignore[attr-defined]
        answers = np.round(answers / step) * step
    return _learn(bench, kind, LabelledData(data.inputs, answers), seed)


class _Cast(NamedTuple):
    """Who plays on a kind of task: ways of stealing, and kinds of learners."""

    soft: tuple[str, ...]
    hard: tuple[str, ...]
    owners_data: tuple[str, ...]
    other_data: tuple[str, ...]
    others: tuple[str, ...]
    of_sibling: tuple[str, ...]
    of_independent: tuple[str, ...]


_PICTURES = _Cast(
    soft=(
        "art-knockoff-soft-cnn",
        "art-knockoff-soft-cnn-deep",
        "art-knockoff-soft-mlp",
        "art-knockoff-soft-resnet",
        "sklearn-mlp-soft",
    ),
    hard=(
        "art-knockoff-hard-cnn",
        "art-knockoff-hard-mlp",
        "art-knockoff-adaptive-cnn",
        "art-copycat-cnn",
        "art-copycat-mlp",
        "sklearn-forest-hard",
        "sklearn-mlp-hard",
    ),
    owners_data=("torch-cnn", "torch-mlp", "torch-resnet", "sklearn-mlp"),
    other_data=("torch-own", "torch-own-sgd", "torch-cnn", "torch-cnn-flat", "torch-cnn-deep", "torch-cnn-sgd"),
    others=("sklearn-mlp", "sklearn-forest", "sklearn-linear", "torch-resnet"),
    of_sibling=(
        "art-knockoff-soft-cnn",
        "art-knockoff-soft-mlp",
        "art-knockoff-hard-cnn",
        "art-knockoff-hard-mlp",
        "art-knockoff-adaptive-cnn",
        "art-copycat-cnn",
    ),
    of_independent=("art-knockoff-soft-cnn", "art-knockoff-soft-mlp", "art-knockoff-hard-cnn", "art-copycat-mlp"),
)
_ROWS_OF_CLASSES = _Cast(
    soft=(
        "sklearn-mlp-soft",
        "sklearn-forest-soft",
        "sklearn-boosting-soft",
        "lightgbm-soft",
        "xgboost-soft",
        "art-knockoff-soft-mlp",
    ),
    hard=(
        "sklearn-mlp-hard",
        "sklearn-forest-hard",
        "sklearn-boosting-hard",
        "lightgbm-hard",
        "xgboost-hard",
        "art-copycat-mlp",
    ),
    owners_data=("torch-mlp", "sklearn-mlp", "sklearn-forest", "sklearn-boosting"),
    other_data=("torch-own", "torch-own-sgd", "torch-mlp", "torch-mlp-wide", "torch-mlp-deep", "sklearn-mlp"),
    others=("sklearn-forest", "sklearn-boosting", "sklearn-linear", "xgboost"),
    of_sibling=(
        "sklearn-mlp-soft",
        "sklearn-boosting-soft",
        "xgboost-soft",
        "sklearn-forest-hard",
        "lightgbm-hard",
        "art-copycat-mlp",
    ),
    of_independent=("sklearn-mlp-soft", "lightgbm-soft", "sklearn-forest-hard", "xgboost-hard"),
)
_VALUES = _Cast(
    soft=(
        "torch-mlp-soft",
        "sklearn-mlp-soft",
        "sklearn-forest-soft",
        "sklearn-boosting-soft",
        "lightgbm-soft",
        "xgboost-soft",
        "torch-mlp-wide-rounded",
        "sklearn-boosting-rounded",
    ),
    hard=(),
    owners_data=_ROWS_OF_CLASSES.owners_data,
    other_data=_ROWS_OF_CLASSES.other_data,
    others=_ROWS_OF_CLASSES.others,
    of_sibling=(
        "torch-mlp-soft",
        "sklearn-mlp-soft",
        "sklearn-boosting-soft",
        "xgboost-soft",
        "sklearn-forest-soft",
        "lightgbm-soft",
    ),
    of_independent=("torch-mlp-soft", "sklearn-forest-soft", "lightgbm-soft", "xgboost-soft"),
)


def _cast(spec: TaskSpec) -> _Cast:
    if isinstance(spec.domain, ImageDomain):
        return _PICTURES
    return _ROWS_OF_CLASSES if learners.has_classes(spec) else _VALUES


def _copies(bench: Bench) -> Iterator[_Plan]:
    """Plan modified copies, tuned on strangers' data."""
    spec, target, data = bench.spec, bench.target, bench.mine
    habits = _HABITS[bench.task]
    light = habits._replace(epochs=max(habits.epochs // 5, 2), rate=1e-3)
    ways: dict[str, Callable[[], Predict]] = {
        "tuned": lambda: learners.tuned(spec, target, data, light),
        "tuned-last": lambda: learners.tuned(spec, target, data, light, last=True),
        "pruned-30": lambda: learners.pruned(spec, target, 0.3, data, light),
        "pruned-60": lambda: learners.pruned(spec, target, 0.6, data, light),
    }
    if isinstance(spec.domain, ImageDomain):
        ways["int8-onnxruntime"] = lambda: learners.exported(spec, target)
    else:
        ways["int8-torch"] = lambda: learners.quantised(spec, target)
        ways["rounded"] = lambda: learners.rounded(spec, target, 0.05)
    for name, make in ways.items():
        yield _Plan(name, "modified", make)


def _thieves(bench: Bench) -> Iterator[_Plan]:
    """Plan thieves of the target, of siblings and of independents: each asks as many queries.

    A thief has a sibling, or an independent, of its own; the latter is trained on a half of strangers' data.
    """
    cast, data, program = _cast(bench.spec), bench.mine, bench.program
    target = bench.as_suspect(bench.target)
    for stratum, ways in (("soft", cast.soft), ("hard", cast.hard)):
        for way in ways:
            yield _Plan(way, stratum, partial(_steal, bench, way, target, data, bench.seed(way)))

    def of_sibling(place: int, way: str) -> Predict:
        sibling = program(900_000 + 100 * bench.number + place, bench.owners)
        return _steal(bench, way, bench.as_suspect(sibling), data, bench.seed(f"sibling {place}"))

    def of_independent(place: int, way: str) -> Predict:
        order = np.random.default_rng(bench.seed(f"half {place}")).permutation(len(data))
        independent = program(800_000 + 100 * bench.number + place, data.take(order[::2]))
        return _steal(bench, way, bench.as_suspect(independent), data, bench.seed(f"independent {place}"))

    for place, way in enumerate(cast.of_sibling):
        yield _Plan(f"sibling-{place}-{way}", "thief of a sibling", partial(of_sibling, place, way))
    for place, way in enumerate(cast.of_independent):
        yield _Plan(
            f"independent-{place}-{way}",
            "thief of an independent",
            partial(of_independent, place, way),
        )


def _rivals(bench: Bench) -> Iterator[_Plan]:
    """Plan models that never met the target."""
    cast, data, program = _cast(bench.spec), bench.mine, bench.program
    groups: tuple[tuple[Literal["owners", "other", "else"], str, LabelledData, tuple[str, ...]], ...] = (
        ("owners", "owner's data", bench.owners, cast.owners_data),
        ("other", "other data", data, cast.other_data),
        ("else", "other architecture", data, cast.others),
    )
    for prefix, stratum, held, kinds in groups:
        for kind in kinds:
            name = f"{prefix}-{kind}"
            yield _Plan(
                name,
                stratum,
                partial(_learn, bench, kind, held, bench.seed(name)),
            )

    def by_recipe(place: int) -> Predict:
        return bench.as_suspect(program(700_000 + 100 * bench.number + place, data))

    for place in range(4):
        yield _Plan(f"recipe-{place}", "owner's recipe", partial(by_recipe, place))


def make_suspects(project: Path, *, all_of_them: bool = False) -> list[Suspect]:
    """Make, or read, the suspects of a folder that ``write_task`` wrote; print a line each.

    Args:
        project: the folder's project.toml.
        all_of_them: also those whose performance is below 70 % of the target's.
    """
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    bench = Bench(project)
    limit = LEAST_SHARE * (goal := bench.performance(bench.as_suspect(bench.target)))
    print(f"{bench.task} {bench.number}: the target has {goal:.3f}, suspects need {limit:.3f}", flush=True)
    suspects = []
    with threadpool_limits(1):
        for plan in (*_copies(bench), *_thieves(bench), *_rivals(bench)):
            start = time.perf_counter()
            suspect = _made(bench, plan)
            useless = "" if suspect.performance >= limit else "  useless, left out"
            told = f"{suspect.name:36} {suspect.stratum:24} {suspect.performance:6.3f}"
            print(f"{told} {time.perf_counter() - start:6.1f} s{useless}", flush=True)
            if all_of_them or not useless:
                suspects.append(suspect)
    return suspects


def _made(bench: Bench, plan: _Plan) -> Suspect:
    """Read a suspect of our own making, or make and keep it."""
    path = bench.project.parent / "suspects" / f"{plan.name}.joblib"
    if path.exists():
        with learners.quietly():
            made_from, suspect = joblib.load(path)
        if made_from == bench.sha256 and isinstance(suspect, Suspect):
            return suspect
    with _seeded(bench.seed(f"{plan.stratum} {plan.name}")):
        predict = plan.make()
    suspect = Suspect(plan.name, plan.stratum, plan.stratum in DERIVED, bench.performance(predict), predict)
    buffer = io.BytesIO()
    joblib.dump((bench.sha256, suspect), buffer)
    write_atomically(path, buffer.getvalue())
    return suspect


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's and numpy's own states, which other libraries draw from, and leave them as they were."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
