"""What dithered answers tell of strangers' thieves: who is found, who is accused, and what the coins cost.

    python -m tests.bench.foreign.dither digits-0 digits-1 digits-2

Every thief asks the dithered target under one account; what it asked is the log. "Elsewhere" are thieves that asked the
same inputs through another account, and those that asked before there were coins.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest

from metav_audit.bundle import CoinPlan
from metav_audit.evaluation.conditions import VIEWS
from metav_audit.fingerprint.coins import dither_costs, most_undecided, plan_coins
from metav_audit.statistics import clopper_pearson
from metav_audit.task import Dither, Features, OutputView, input_bytes
from metav_audit.transcript.log import Row
from metav_audit.verdict.coins import find_accounts
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.learners import Array, Predict
from tests.bench.foreign.suspects import DERIVED, Bench, Suspect, _cast, _made, _Plan, _steal, make_suspects
from tests.bench.foreign.tasks import DATA, read_part, write_task

PROMISED = 0.05
MOST_LOST = 0.005
"""Of accuracy: half a point."""
SHOWN = ("full", "label")
THIEF = "thief"
_DAY = "2026-01-01T00:00:00Z"


@dataclass
class Api:
    """The target behind dither, asked by one account; it remembers what was asked.

    Attributes:
        target: the model behind.
        dither: how it is dithered.
        account: who asks.
        asked: every input asked so far, by its bytes.
    """

    target: Predict
    dither: Dither
    account: str
    asked: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)

    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        """Serve."""
        sent = np.ascontiguousarray(inputs, np.float32)
        names = input_bytes(sent)
        self.asked.update(zip(names, sent, strict=True))
        return self.dither.served(self.target(sent).astype(np.float64), self.dither.coins(self.account, names))


@dataclass(frozen=True)
class Thief:
    """A thief, and what it asked, of shape (n, *domain.shape)."""

    predict: Predict
    asked: NDArray[np.float32]

    def __call__(self, inputs: NDArray[np.float32]) -> Array:
        """Answer as its model does."""
        return self.predict(inputs)


def dithered_thieves(bench: Bench, dither: Dither) -> Iterator[Suspect]:
    """Yield every kind of thief, each trained on answers dithered for the account ``THIEF``."""
    cast, size = _cast(bench.spec), f"{dither.epsilon:g}-{dither.undecided:g}"

    def make(way: str) -> Thief:
        api = Api(bench.as_suspect(bench.target), dither, THIEF)
        made = _steal(bench, way, api, bench.mine, bench.seed(way))
        return Thief(made, np.stack(list(api.asked.values())))

    for stratum, ways in (("soft", cast.soft), ("hard", cast.hard)):
        for way in ways:
            try:
                suspect = _made(bench, _Plan(f"dithered-{size}-{way}", stratum, partial(make, way)))
            except ValueError as error:  # The toolbox's adaptive attack divides by a variance of nought now and then.
                print(f"{way}: the attack failed: {error}", flush=True)
                continue
            print(f"{suspect.name:44} {suspect.performance:6.3f}", flush=True)
            yield suspect


def plan_of(bench: Bench, dither: Dither, asked: NDArray[np.float32], queries: int) -> CoinPlan:
    """Return the plan that the product makes of a log in which the thief's account asked these inputs."""
    target = bench.as_suspect(bench.target)
    served = Api(target, dither, THIEF)(asked).argmax(axis=1)
    labels = bench.spec.output.labels
    rows = [Row(THIEF, labels[at], _DAY, sent) for at, sent in zip(served, input_bytes(asked), strict=True)]
    return plan_coins(rows, dither, bench.spec, lambda inputs: target(inputs).astype(np.float64), (THIEF,), queries)


def shown(suspect: Suspect, plan: CoinPlan, view: OutputView) -> Features:
    """Return what a suspect shows of the plan's inputs through a view."""
    space = plan.task.output
    values = space.canonical(suspect.predict(plan.inputs).astype(np.float64), space.score_kinds[0]).astype(np.float32)
    return view.apply(Features(values, np.ones(values.shape, np.bool_)), space)


def p_value(suspect: Suspect, plan: CoinPlan, view: OutputView) -> float:
    """Return the p-value of the thief's account."""
    return find_accounts(plan, shown(suspect, plan, view))[0].p_value


def rates(name: str, found: Sequence[bool]) -> str:
    """Write how many of so many were found."""
    low, high = clopper_pearson(sum(found), len(found))
    return f"{name:<44}{sum(found):>5} of {len(found):<5}{sum(found) / len(found):>7.3f}  95 %: {low:.3f} to {high:.3f}"


def choose(bench: Bench, epsilon: float, key: bytes) -> Dither:
    """Return the dither that loses at most half a point on all data that the target was not trained on; print it."""
    parts = [*(read_part(bench.project, bench.task, part) for part in ("validation", "heldout")), bench.strangers]
    own = bench.as_suspect(bench.target)(np.concatenate([part.inputs for part in parts]))
    labels = np.concatenate([part.labels for part in parts])
    sizes = np.linspace(epsilon / 20, epsilon, 20).round(3).tolist()
    costs = dither_costs(own, labels, [Dither(key, epsilon, size) for size in sizes])
    cost = most_undecided(costs, MOST_LOST)
    assert cost is not None, "even the smallest dither costs more than half a point"
    print(f"{bench.task}-{bench.number}, {len(labels)} examples: {cost}", flush=True)
    return Dither(key, epsilon, cost.undecided)


def other_coins(plan: CoinPlan, innocents: Sequence[Suspect], view: OutputView, count: int) -> list[float]:
    """Test innocents in turn, each time with another key; return the p-values."""
    answers = [shown(one, plan, view) for one in innocents]
    keys = (hashlib.sha256(f"coins {number}".encode()).digest() for number in range(count))
    others = (replace(plan, dither=replace(plan.dither, key=key)) for key in keys)
    return [
        find_accounts(other, answers[number % len(answers)], draws=999)[0].p_value
        for number, other in enumerate(others)
    ]


@dataclass(frozen=True)
class Figures:
    """What was found, by view.

    Attributes:
        thieves: by kind, whether each was found.
        innocents: by kind, whether each was accused.
        p_values: of innocents with other coins.
    """

    thieves: dict[str, list[bool]] = field(default_factory=dict)
    innocents: dict[str, list[bool]] = field(default_factory=dict)
    p_values: list[float] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield a table."""
        for who in (self.thieves, self.innocents):
            yield from (rates(kind, each) for kind, each in sorted(who.items()))
            yield rates("all thieves" if who is self.thieves else "all innocents", list(chain(*who.values())))
        values = np.array(self.p_values)
        if len(values):
            below = ", ".join(f"{(values <= level).mean():.4f} at {level}" for level in (0.01, 0.05, 0.1, 0.5))
            tests = [kstest(values, "uniform", alternative=side).pvalue for side in ("two-sided", "greater")]
            yield f"{len(values)} coins of innocents: {below}"
            yield f"Kolmogorov-Smirnov: uniform p = {tests[0]:.3f}, too small p = {tests[1]:.3f}"


def measure(bench: Bench, dither: Dither, queries: int, coins: int, figures: dict[str, Figures]) -> None:
    """Add what is found of one target's suspects."""
    innocents = [one for one in make_suspects(bench.project) if one.stratum != "modified"]
    for thief in dithered_thieves(bench, dither):
        assert isinstance(thief.predict, Thief)
        plan = plan_of(bench, dither, thief.predict.asked, queries)
        other = replace(plan, dither=replace(dither, key=hashlib.sha256(dither.key).digest()))
        kind = f"{thief.stratum}: {thief.name.split('-', 3)[3]}"
        for view, mine in figures.items():
            mine.thieves.setdefault(kind, []).append(p_value(thief, plan, VIEWS[view]) <= PROMISED)
            accused = p_value(thief, other, VIEWS[view]) <= PROMISED
            mine.innocents.setdefault("thief through another account", []).append(accused)
    plan = plan_of(bench, dither, bench.mine.inputs, queries)
    for view, mine in figures.items():
        for one in innocents:
            stratum = "thief before there were coins" if one.stratum in DERIVED else one.stratum
            mine.innocents.setdefault(stratum, []).append(p_value(one, plan, VIEWS[view]) <= PROMISED)
        mine.p_values.extend(other_coins(plan, innocents, VIEWS[view], coins))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--epsilon", type=float, default=2.0)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--coins", type=int, default=10_000, help="how often innocents are tested with other coins")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    told = parser.parse_args()
    figures = {view: Figures() for view in SHOWN}
    for name in told.targets:
        task, _, number = name.rpartition("-")
        bench = Bench(write_task(task, int(number), told.root, data=told.data_dir))
        dither = choose(bench, told.epsilon, hashlib.sha256(name.encode()).digest())
        measure(bench, dither, told.queries, told.coins // len(told.targets), figures)
    for view, found in figures.items():
        print(f"\n{view}, {told.queries} queries, found at {PROMISED}", *found.lines(), sep="\n")


if __name__ == "__main__":
    main()
