"""Owners who tune a public ancestor, their siblings, the independents beside them, and suspects of every sort.

A troupe is one ancestor, tuned in one strength: three targets on data of their own, and rivals, from the same ancestor
and from none, on others'. All models are stored, by the content of what they are made from; this code is part of that
by ``VERSION`` alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.files import write_atomically
from metav_audit.task import TaskSpec
from metav_audit.zoo.data import LabelledData
from tests.bench.foreign import learners, programs
from tests.bench.foreign.learners import Habits, Network, Predict
from tests.bench.foreign.suspects import LEAST_SHARE, Suspect

VERSION = 1
"""Part of every stored model's address: raise it when this code would make other models."""

HEADS = ("new", "own")
STRENGTHS = ("light", "middle", "strong")
TARGETS = 3
RIVALS = 14
OUTSIDERS, KIN = "outsider", "kin"
_BESIDE = {"references": 10, "calibration": 24}
_QUARTERS = 4


class Ground(NamedTuple):
    """A task's data and habits.

    Attributes:
        sizes: of the ancestor's part, each target's, heldout's, validation's and strangers', in this order.
        tuning: each strength's habits.
        habits: of whoever trains from random weights, and of thieves.
    """

    sizes: tuple[int, int, int, int, int]
    tuning: Mapping[str, Habits]
    habits: Habits


GROUNDS = {
    "digits": Ground(
        (350, 250, 200, 100, 397),
        {"light": Habits(20, 1e-3, 48), "middle": Habits(30, 2e-3, 48), "strong": Habits(50, 4e-3, 48)},
        Habits(40, 5e-3, 48),
    ),
    "fashion": Ground(
        (5000, 2000, 2000, 1000, 3000),
        {"light": Habits(4, 1e-3, 64), "middle": Habits(6, 2e-3, 64), "strong": Habits(12, 3e-3, 64)},
        Habits(12, 3e-3, 64),
    ),
}


@dataclass(frozen=True)
class Troupe:
    """One ancestor of a task, whose head the owners keep or draw anew, tuned in one strength.

    Attributes:
        task: its name.
        head: "new", of an ancestor that tells by how many quarters a garment is turned; or "own", of one that was
            trained on the task.
        strength: of all owners' tuning.
        root: where models are stored.
        data: the benchmark data's folder.
        siblings: of each target.
    """

    task: str
    head: str
    strength: str
    root: Path
    data: Path
    siblings: int = 39

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        return programs.SPECS[self.task]

    @property
    def ground(self) -> Ground:
        """Its data's sizes, and its habits."""
        return GROUNDS[self.task]

    @cached_property
    def parts(self) -> Mapping[str, LabelledData]:
        """The data: "ancestor", "target-0" and so on, "heldout", "validation", "mine" and "test"."""
        inputs, labels = _pictures(self.task, self.data)
        first, each, heldout, validation, strangers = self.ground.sizes
        sizes = (first, *[each] * TARGETS, heldout, validation, strangers - strangers // 6, strangers // 6)
        names = (
            "ancestor",
            *(f"target-{number}" for number in range(TARGETS)),
            "heldout",
            "validation",
            "mine",
            "test",
        )
        order = np.random.default_rng(2022).permutation(len(inputs))[: sum(sizes)]
        chosen = np.split(order, np.cumsum(sizes)[:-1])
        return {name: LabelledData(inputs[index], labels[index]) for name, index in zip(names, chosen, strict=True)}

    @cached_property
    def address(self) -> str:
        """The hash of all that its models are made from."""
        told = {name: part.sha256() for name, part in self.parts.items()}
        told["turned"] = self._turned().sha256()
        made = [VERSION, self.task, self.head, self.strength, self.siblings, repr(self.ground), told]
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]

    def network(self) -> nn.Module:
        """Build the owners' architecture."""
        return getattr(programs, f"{self.task}_network")()  # type: ignore[no-any-return]

    @cached_property
    def ancestor(self) -> nn.Module:
        """The public model; with a new head its last layer has four outputs."""
        return self._kept(f"ancestor-{self.head}", self._make_ancestor, shared=True)  # type: ignore[no-any-return]

    def descendant(self, data: LabelledData, habits: Habits, what: str, *, labels: Any = None) -> nn.Module:
        """Tune the ancestor, all layers; a new head is drawn before."""
        with _seeded(self._seed(what)):
            model = self.start()
            wanted = data.labels if labels is None else labels
            learners.tune(self.spec, model, list(model.parameters()), LabelledData(data.inputs, wanted), habits)
        return model

    def start(self) -> nn.Module:
        """Copy the ancestor for the task; a new head is drawn from torch's own state."""
        model, state = self.network(), self.ancestor.state_dict()
        own = model.state_dict()
        model.load_state_dict(own | {name: each for name, each in state.items() if each.shape == own[name].shape})
        return model

    def owners(self, number: int) -> list[nn.Module]:
        """Return a target, its siblings, and after them two that its thieves alone know."""
        part, habits = self.parts[f"target-{number}"], self.ground.tuning[self.strength]

        def make() -> list[nn.Module]:
            seeds = range(self.siblings + 3)
            return [self.descendant(part, habits, f"{self.strength} owner {number} {seed}") for seed in seeds]

        return self._kept(f"owners-{number}", make)  # type: ignore[no-any-return]

    def beside(self) -> Mapping[str, list[nn.Module]]:
        """Return the zoo's independents on held-out data: "outsider-references", "kin-calibration" and so on."""
        return self._kept("beside", self._make_beside, shared=True)  # type: ignore[no-any-return]

    def derived(self, number: int) -> list[Predict]:
        """Return the zoo's derived models of a target, on held-out data."""
        return self._kept(f"derived-{number}", lambda: list(self._make_derived(number)))  # type: ignore[no-any-return]

    def suspects(self, number: int) -> list[Suspect]:
        """Return all suspects of a target that are of any use."""
        mine = self._kept(f"suspects-{number}", lambda: list(self._made(self._of_target(number))))
        rivals = self._kept("rivals", lambda: list(self._made(self._rivals())))
        outsiders = self._kept(f"outsiders-{self.head}", lambda: list(self._made(self._outsiders())), shared=True)
        least = LEAST_SHARE * self.performance(Network(self.owners(number)[0], classes=True))
        return [one for one in (*mine, *rivals, *outsiders) if one.performance >= least]

    def performance(self, predict: Predict) -> float:
        """Return balanced accuracy on the strangers' test part."""
        test = self.parts["test"]
        right = predict(test.inputs).argmax(axis=1) == test.labels
        return float(np.mean([right[test.labels == label].mean() for label in np.unique(test.labels)]))

    def _made(self, plans: Iterator[tuple[str, str, bool, Callable[[], Predict]]]) -> Iterator[Suspect]:
        for name, stratum, derived, make in plans:
            with _seeded(self._seed(f"{self.strength} {stratum} {name}")):
                predict = make()
            yield Suspect(name, stratum, derived, self.performance(predict), predict)

    def _make_ancestor(self) -> nn.Module:
        data, habits = self.parts["ancestor"], self.ground.habits
        model = self.network()
        if self.head == "new":
            *body, last = model
            model, data = nn.Sequential(*body, nn.Linear(last.in_features, _QUARTERS)), self._turned()
            habits = Habits(8, 2e-3, 64)
        learners.tune(self.spec, model, list(model.parameters()), data, habits)
        return model

    def _turned(self) -> LabelledData:
        """Return public garments in the pictures' size, turned by 0 to 3 quarters, and by how many."""
        with np.load(self.data / "fashion_mnist.npz") as arrays:
            # No owner or stranger has any of these.
            garments = arrays["x_test"][:5000, None].astype(np.float32) / 255
        if self.task == "digits":
            cut = garments[..., 2:-2, 2:-2]
            garments = cut.reshape(*cut.shape[:2], 8, 3, 8, 3).mean(axis=(3, 5)).astype(np.float32)
        turns = np.arange(len(garments), dtype=np.int64) % _QUARTERS
        turned = [np.rot90(each, turn, axes=(1, 2)) for each, turn in zip(garments, turns.tolist(), strict=True)]
        return LabelledData(np.ascontiguousarray(turned, np.float32), turns)

    def _make_beside(self) -> Mapping[str, list[nn.Module]]:
        """Tune kin in every strength; every other outsider has the owners' architecture."""
        held, chance = self.parts["heldout"], np.random.default_rng(7)
        told: dict[str, list[nn.Module]] = {}
        for use, count in _BESIDE.items():
            for place in range(count):
                what = f"{use} {place}"
                some = held.take(np.sort(chance.permutation(len(held))[: int(len(held) * chance.uniform(0.6, 1))]))
                strength = self.ground.tuning[STRENGTHS[place % len(STRENGTHS)]]
                speed = float(10 ** chance.uniform(-0.3, 0.3))
                kin = self.descendant(some, strength._replace(rate=strength.rate * speed), f"kin {what}")
                told.setdefault(f"{KIN}-{use}", []).append(kin)
                with _seeded(self._seed(f"outsider {what}")):
                    model = self.network() if place % 2 else list(_STUDENTS.values())[place // 2 % 3](self.spec)
                    habits = self.ground.habits._replace(rate=self.ground.habits.rate * speed)
                    learners.tune(self.spec, model, list(model.parameters()), some, habits)
                told.setdefault(f"{OUTSIDERS}-{use}", []).append(model)
        return told

    def _make_derived(self, number: int) -> Iterator[Predict]:
        target, held, chance = self.owners(number)[0], self.parts["heldout"], np.random.default_rng(11)
        light = Habits(max(self.ground.habits.epochs // 5, 2), 1e-3, 48)
        for place in range(24):
            some = held.take(np.sort(chance.permutation(len(held))[: int(len(held) * chance.uniform(0.6, 1))]))
            habits = light._replace(rate=float(10 ** chance.uniform(-3.5, -2.7)))
            with _seeded(self._seed(f"{self.strength} derived {number} {place}")):
                yield self._derive(place, target, some, habits)

    def _derive(self, place: int, target: nn.Module, some: LabelledData, habits: Habits) -> Predict:
        kind = place % 6
        if kind < 2:
            return learners.tuned(self.spec, target, some, habits)
        if kind == 2:
            return learners.pruned(self.spec, target, 0.2 + 0.1 * (place // 6), some, habits)
        answers = Network(target, classes=True)(some.inputs)
        wanted = answers.argmax(axis=1).astype(np.int64) if kind == 4 else answers
        model = self.start() if kind == 3 else list(_STUDENTS.values())[place // 6 % 3](self.spec)
        return learners.fit_network(self.spec, model, some.inputs, wanted, self.ground.habits)

    def _of_target(self, number: int) -> Iterator[tuple[str, str, bool, Callable[[], Predict]]]:
        """Plan modified copies, thieves of the target, and thieves of its siblings."""
        spec, data, (target, *others) = self.spec, self.parts["mine"], self.owners(number)
        light = Habits(max(self.ground.habits.epochs // 5, 2), 1e-3, 32)
        yield "tuned", "modified", True, lambda: learners.tuned(spec, target, data, light)
        yield "tuned-last", "modified", True, lambda: learners.tuned(spec, target, data, light, last=True)
        yield "pruned-30", "modified", True, lambda: learners.pruned(spec, target, 0.3, data, light)
        yield "pruned-60", "modified", True, lambda: learners.pruned(spec, target, 0.6, data, light)
        yield "int8-onnxruntime", "modified", True, lambda: learners.exported(spec, target)
        for way in _WAYS:
            yield way, "soft" if "soft" in way else "hard", True, lambda way=way: self._steal(way, target)
        for place, sibling in enumerate(others[-2:]):
            for way in ("art-soft-cnn", "kin-soft", "kin-hard"):
                name = f"sibling-{place}-{way}"
                yield name, "thief of a sibling", False, lambda way=way, sibling=sibling: self._steal(way, sibling)

    def _steal(self, way: str, victim: nn.Module) -> Predict:
        """Let a thief ask: "art-…" by the toolbox, "kin-…" who tunes the same ancestor, or scikit-learn."""
        answers, data = Network(victim, classes=True), self.parts["mine"]
        kind, shown, *student = way.split("-")
        if kind == "art":
            attack = {"soft": "knockoff-soft", "hard": "knockoff-hard", "copycat": "copycat"}[shown]
            model = _STUDENTS[student[0]](self.spec)
            return learners.steal(attack, answers, self.spec, model, data, self.ground.habits)  # type: ignore[arg-type]
        told = answers(data.inputs)
        wanted = told if shown == "soft" else told.argmax(axis=1).astype(np.int64)
        if kind == "kin":
            habits = self.ground.tuning["strong" if not student else student[0]]
            return learners.fit_network(self.spec, self.start(), data.inputs, wanted, habits)
        from sklearn.neural_network import MLPRegressor

        return learners.fit_joint(
            MLPRegressor(hidden_layer_sizes=(80,), max_iter=100, random_state=0), data.inputs, told
        )

    def _rivals(self) -> Iterator[tuple[str, str, bool, Callable[[], Predict]]]:
        """Plan rivals who tune the same ancestor on others' data: half as the owners do, half in other ways."""
        data, own = self.parts["mine"], self.ground.tuning[self.strength]
        ways = [own] * (RIVALS // 2)
        ways += [*self.ground.tuning.values(), own._replace(epochs=2 * own.epochs), own._replace(batch=16)]
        ways += [own._replace(rate=0.02, momentum=0.9), own._replace(rate=own.rate / 2)]
        for place, habits in enumerate(ways):
            order = np.random.default_rng(place).permutation(len(data))
            some = data.take(np.sort(order[: len(data) * 3 // 4]))
            what = f"{self.strength} rival {place}"
            yield (
                f"rival-{place}", "rival", False,
                lambda some=some, habits=habits, what=what: Network(self.descendant(some, habits, what), classes=True),
            )  # fmt: skip

    def _outsiders(self) -> Iterator[tuple[str, str, bool, Callable[[], Predict]]]:
        """Plan models that start from random weights, on others' data."""
        data = self.parts["mine"]

        def learn(build: Callable[[TaskSpec], nn.Module]) -> Predict:
            return learners.fit_network(self.spec, build(self.spec), data.inputs, data.labels, self.ground.habits)

        for place in range(4):
            yield f"outsider-own-{place}", "outsider", False, lambda: learn(lambda _: self.network())
        for name, build in _STUDENTS.items():
            for place in range(2):
                yield f"outsider-{name}-{place}", "outsider", False, lambda build=build: learn(build)

    def _kept(self, name: str, make: Callable[[], Any], *, shared: bool = False) -> Any:
        """Read what was made before, or make and keep it; what is shared does not hang on the strength."""
        one = self if not shared else Troupe(self.task, self.head, STRENGTHS[0], self.root, self.data, self.siblings)
        folder = self.root / "ancestors" / f"{self.task}-{self.head}-{'all' if shared else self.strength}-{one.address}"
        path = folder / f"{name}.joblib"
        if path.exists():
            with learners.quietly():
                return joblib.load(path)
        start = time.perf_counter()
        with _seeded(self._seed(name)):
            made = make()
        buffer = io.BytesIO()
        joblib.dump(made, buffer)
        write_atomically(path, buffer.getvalue())
        print(f"{folder.name} {name}: {time.perf_counter() - start:.1f} s", flush=True)
        return made

    def _seed(self, what: str) -> int:
        return int(hashlib.sha256(f"{self.task} {self.head} {what}".encode()).hexdigest()[:7], 16)


_WAYS = (
    "art-soft-cnn", "art-soft-mlp", "art-hard-cnn", "art-copycat-mlp", "sklearn-soft",
    "kin-soft", "kin-hard", "kin-hard-light",
)  # fmt: skip
_STUDENTS: dict[str, Callable[[TaskSpec], nn.Module]] = {
    "cnn": lambda spec: learners.convolutions(spec, 12, 24, hidden=48),
    "mlp": lambda spec: learners.perceptron(spec, 128, 64),
    "resnet": learners.residual,
}


def _pictures(task: str, data: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if task == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        inputs = programs.DIGITS.domain.project((digits.images / 16).astype(np.float32)[:, None])
        return inputs, digits.target.astype(np.int64)
    with np.load(data / "fashion_mnist.npz") as arrays:
        return (arrays["x_train"][:, None] / 255).astype(np.float32), arrays["y_train"].astype(np.int64)


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
