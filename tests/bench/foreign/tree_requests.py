"""What the owner's request log tells of thieves of boosted trees: who is found by 600 rows of Adult incomes.

    python -m tests.bench.foreign.tree_requests extreme-1 light-1 histogram-1 --queries 64 --queries 256

Owners and strangers are those of ``tests.bench.trees``. The account "thief" sent 600 rows that no owner has, and all
thieves learnt from what it was served, by other libraries' learners; innocents learnt from the same rows with their
true labels, or with what siblings and independents of the target answered, among others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor

from metav_audit.bundle import FingerprintBundle
from metav_audit.evaluation.conditions import VIEWS
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.requests import Requests
from metav_audit.transcript.log import open_log
from metav_audit.verdict import Rule
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench import trees
from tests.bench.foreign.figures import PROMISED, ROOT, validity
from tests.bench.foreign.learners import quietly
from tests.bench.foreign.measure import Pair, pairs, shown_by
from tests.bench.foreign.programs import ADULT
from tests.bench.foreign.requests import THIEF, rows, seal_accounts
from tests.bench.foreign.suspects import LEAST_SHARE, Suspect
from tests.bench.foreign.tasks import DATA

ASKED = 600
"""Rows of the thief's account."""

SEEDS = 2
"""Thieves of each kind."""

LEARNERS = ("forest", "perceptron", "perceptron-200", "boosting", "xgboost", "lightgbm")
"""Those of ``tests.bench.trees``, and a perceptron of 200 epochs: on so few rows its usual 30 learn hardly anything."""

Plan = tuple[str, str, Callable[[], trees.Predict]]


def plans(kind: str, project: Path, number: int) -> Iterator[Plan]:
    """Yield each suspect's name and stratum, and what makes it; thieves of the target are "soft" and "hard"."""
    frames, program = kind == "histogram", getattr(trees, kind)
    train, strangers = trees.read_part(project, "train"), trees.read_part(project, "strangers")
    asked, rest = strangers.take(np.arange(ASKED)), strangers.take(np.arange(ASKED, 4000))
    target = trees._asked(program(number, train), frames)
    sibling = trees._asked(program(90_001, train), frames)
    rival = trees._asked(program(90_002, rest), frames)
    for teacher, who in ((target, ""), (sibling, "thief of a sibling"), (rival, "thief of an independent")):
        for learner in LEARNERS:
            for seed in range(SEEDS):
                soft, hard = (partial(each, learner, teacher, asked, 10 * number + seed) for each in (_soft, _hard))
                yield f"{who} {learner}-soft-{seed}", who or "soft", soft
                yield f"{who} {learner}-hard-{seed}", who or "hard", hard
    for what, data in (("same rows, true labels", asked), ("owner's data", train), ("other data", rest)):
        for learner in trees._classifiers(0):
            yield f"{what} {learner}", what, partial(trees._fitted, learner, number + 50, data)
    for at in range(6):
        yield f"rerun-{at}", "owner's program and data", partial(trees._rerun, program, 70_000 + at, train, frames)
        yield f"rival-{at}", "owner's program, other data", partial(trees._rerun, program, 80_000 + at, rest, frames)


def _soft(learner: str, teacher: trees.Predict, data: LabelledData, seed: int) -> trees.Predict:
    if learner != "perceptron-200":
        return trees._soft(learner, teacher, data, seed)
    network = MLPRegressor(hidden_layer_sizes=(80,), max_iter=200, random_state=seed)
    return trees._of_margins(network.fit(trees._rows(data.inputs), trees._logit(teacher(data.inputs))))


def _hard(learner: str, teacher: trees.Predict, data: LabelledData, seed: int) -> trees.Predict:
    if learner != "perceptron-200":
        return trees._hard(learner, teacher, data, seed)
    network = MLPClassifier(hidden_layer_sizes=(80,), max_iter=200, random_state=seed)
    return trees._asked(network.fit(trees._rows(data.inputs), teacher(data.inputs) > 0.5), frames=False)


def suspects_of(kind: str, project: Path, number: int) -> list[Suspect]:
    """Make the suspects whose balanced accuracy on rows that no one has is 70 % of the target's at least."""
    test = trees.read_part(project, "strangers").take(np.arange(4000, 4800))
    target = _Both(trees._asked(getattr(trees, kind)(number, trees.read_part(project, "train")), kind == "histogram"))
    limit, found = LEAST_SHARE * _performance(target, test), []
    for name, stratum, make in plans(kind, project, number):
        with quietly():
            both = _Both(make())
        performance = _performance(both, test)
        if performance < limit:
            print(f"{name} is useless, left out: {performance:.3f}", flush=True)
            continue
        found.append(Suspect(name, stratum, stratum in trees.DERIVED, performance, both))
    return found


class _Both:
    """A model that gives both classes' probabilities."""

    def __init__(self, predict: trees.Predict) -> None:
        self.predict = predict

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        shares = np.clip(np.asarray(self.predict(inputs), np.float64), 0, 1)
        return np.stack([1 - shares, shares], axis=1)


def _performance(predict: Callable[[NDArray[np.float32]], NDArray[np.float64]], test: LabelledData) -> float:
    right = predict(test.inputs).argmax(axis=1) == test.labels
    return float(np.mean([right[test.labels == label].mean() for label in (0, 1)]))


def fit_log(kind: str, project: Path, number: int, queries: int) -> FingerprintBundle:
    """Seal the thief's requests and fit a bundle by them; what stands is used again."""
    folder = project.parent / "log"
    if not (folder / "log.json").exists():
        asked = trees.read_part(project, "strangers").take(np.arange(ASKED)).inputs
        target = trees._asked(getattr(trees, kind)(number, trees.read_part(project, "train")), kind == "histogram")
        seal_accounts({THIEF: asked}, _Both(target), ADULT, folder)
    loaded = load_project(project)
    requests = Requests(open_log(folder), "0" * 64)
    making = Making.of(open_workshop(loaded), build_zoo(loaded), queries=queries, requests=requests)
    return fit_bundle(making, project.parent / f"log-{queries}.bundle")[0]


def _missed(bundle: FingerprintBundle, suspects: Sequence[Suspect], view: str) -> Iterator[str]:
    """Yield which thieves are not found."""
    thieves = [one for one in suspects if one.derived]
    scored = Rule.through(bundle, VIEWS[view]).score_all(shown_by(thieves, bundle, VIEWS[view]))
    for thief, each in zip(thieves, scored, strict=True):
        if each.p_value_siblings > PROMISED:
            yield f"{'':<25}missed: {thief.name.strip()}, p {each.p_value_siblings:.3f}"


def main() -> None:
    """Print the tables of the owners named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("owners", nargs="*", default=[f"{kind}-1" for kind in trees.KINDS], help="KIND-NUMBER")
    parser.add_argument("--queries", action="append", type=int, default=[])
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="quick")
    told = parser.parse_args()
    played: list[Pair] = []
    print(f"{'target':<12}{'view':<7}{'n':>4} {'':<9}{'stratum':<26}{'by rank':>8}{'match':>8}{'named':>9}")
    for owner in told.owners:
        kind, _, number = owner.rpartition("-")
        project = trees.write_owner(kind, int(number), told.root / "trees", told.data_dir, told.preset)
        suspects = suspects_of(kind, project, int(number))
        for queries in told.queries or [64]:
            bundle = fit_log(kind, project, int(number), queries)
            for view in ("label", "full"):
                print("\n".join(rows(owner, bundle, suspects, view)), flush=True)
                for line in _missed(bundle, suspects, view):
                    print(line, flush=True)
                played.extend(pairs(owner, bundle, suspects, VIEWS[view]))
    print("\n".join(validity(played)))


if __name__ == "__main__":
    main()
