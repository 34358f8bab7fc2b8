"""Whether a made-up calibration shows and an honest one does not: bundles of strangers' bench, rigged two ways.

python -m tests.bench.foreign.calibrations digits-1 adult-3 --method siblings --method metav --queries 16 --queries 64

*Made up of the zoo*: shuffled answers as independents, real independents as derived models. *Made up of strangers*: the
same, but that the derived models are innocent strangers', whom the owner never trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metav_audit.bundle import Calibration, FingerprintBundle
from metav_audit.drill.rigging import invent_calibration
from metav_audit.drill.stage import with_table
from metav_audit.evaluation.conditions import Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.task import FULL_VIEW
from metav_audit.verdict import calibration_doubts
from metav_audit.verdict.soundness import following
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.measure import shown_by
from tests.bench.foreign.suspects import Suspect, make_suspects
from tests.bench.foreign.tasks import DATA, write_task


def of_strangers(bundle: FingerprintBundle, suspects: Sequence[Suspect]) -> FingerprintBundle:
    """Make a calibration up whose derived models are innocent strangers."""
    answers = shown_by([each for each in suspects if not each.derived], bundle, FULL_VIEW).values
    rigged = invent_calibration(bundle, 1)
    features, cards = rigged.calibration.features.copy(), rigged.calibration.models
    derived = np.flatnonzero([card.derived for card in cards])
    features[derived] = answers[np.arange(len(derived)) % len(answers)]
    return with_table(replace(rigged, calibration=Calibration(features, cards)))


def weakest(bundle: FingerprintBundle) -> float:
    """Return how the side that goes along least with its queries does, in roots of their number."""
    along, derived = following(bundle), np.array([card.derived for card in bundle.calibration.models])
    return min(float(np.median(along[derived == side])) for side in (True, False)) / len(bundle.inputs) ** 0.5


def kinds_of(bundle: FingerprintBundle, suspects: Sequence[Suspect]) -> Iterator[tuple[str, FingerprintBundle]]:
    """Yield the bundle, and what a forger makes of it."""
    yield "honest", bundle
    yield "made up of the zoo", invent_calibration(bundle, 1)
    yield "made up of strangers", of_strangers(bundle, suspects)


def main() -> None:
    """Print a line a bundle, and at last how many of each kind were doubted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--method", action="append", required=True)
    parser.add_argument("--queries", action="append", type=int, required=True)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="quick")
    told = parser.parse_args()
    doubted: dict[str, list[bool]] = {}
    least: dict[str, list[float]] = {}
    for name in told.targets:
        task, _, number = name.rpartition("-")
        path = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        project = load_project(path)
        workshop, zoo, suspects = open_workshop(project), build_zoo(project), make_suspects(path)
        for method in told.method:
            for queries in told.queries:
                bundle = keep_bundle(workshop, zoo, method, Condition("full", queries))
                for kind, one in kinds_of(bundle, suspects):
                    found, along = calibration_doubts(one), weakest(one)
                    doubted.setdefault(kind, []).append(bool(found))
                    least.setdefault(kind, []).append(along)
                    what = f"{found[0][:140]}" if found else "no doubt"
                    print(f"{name} {method} {queries}, {kind}: goes along by {along:.2f}; {what}", flush=True)
    for kind, found in doubted.items():
        low, high = min(least[kind]), max(least[kind])
        print(f"{kind}: {sum(found)} of {len(found)} doubted; go along by {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
