"""Whether strangers who are asked rightly are understood: suspects of others' making, and the reasons of no verdict.

python -m tests.bench.foreign.honest digits-1 adult-3 warfarin-1
python -m tests.bench.foreign.honest digits-1 adult-3 --decimals 2 --cut

With ``--decimals`` shares are rounded, or cut off, and it is told as well how many were taken for cut off, and who was
cleared or accused wrongly.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle, Schedule, asked_inputs
from metav_audit.evaluation.conditions import Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.task import Answer
from metav_audit.transcript import EndpointRecord, Exchange, Transcript
from metav_audit.verdict import Decision, conclude
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.suspects import Suspect, make_suspects
from tests.bench.foreign.tasks import DATA, write_task

NONCE = "5c" * 16
BEYOND = "it lies below that of every independent"


Shown = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""From a model's raw outputs to those that its API shows."""


def decisions(
    bundle: FingerprintBundle, suspects: Sequence[Suspect], shown: Shown
) -> Iterator[tuple[Suspect, Decision]]:
    """Yield what is decided of each suspect."""
    space = bundle.task.output
    for suspect in suspects:
        raw = shown(suspect.predict(asked_inputs(bundle)).reshape(-1, space.size)).tolist()
        answers = [Answer(tuple(raw[number])) for number in Schedule.for_bundle(bundle, NONCE).numbers]
        exchanges = tuple(Exchange(place, answer, None, (), place) for place, answer in enumerate(answers))
        endpoint = EndpointRecord(suspect.name, "python", "", space.score_kinds[0], {})
        told = Transcript(bundle.sha256, endpoint, "", "", "", exchanges, len(answers), NONCE, (), "f" * 64, {})
        yield suspect, conclude(bundle, told)


def reason(decision: Decision) -> str:
    """Return why there is no verdict, as far as that is whether the suspect was asked rightly; else nothing."""
    own = [*decision.reading.faults, *(each for each in decision.verdict.reasons if BEYOND in each)]
    return own[0] if own else ""


def with_decimals(decimals: int | None, *, cut: bool) -> Shown:
    """Return how an API shows numbers: rounded to so many decimals, or cut off after them; all of them if None."""
    if decimals is None:
        return lambda raw: raw
    step = 10.0**decimals
    return lambda raw: (np.floor if cut else np.rint)(raw.astype(np.float64) * step) / step


def main() -> None:
    """Print a line for each suspect that was not understood, and how many were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--method", default="siblings")
    parser.add_argument("--decimals", type=int)
    parser.add_argument("--cut", action="store_true")
    told = parser.parse_args()
    for name in told.targets:
        task, _, number = name.rpartition("-")
        path = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        project = load_project(path)
        bundle = keep_bundle(open_workshop(project), build_zoo(project), told.method, Condition("full", told.queries))
        shown = with_decimals(told.decimals, cut=told.cut)
        found = list(decisions(bundle, make_suspects(path), shown))
        for suspect, decision in found:
            if why := reason(decision):
                print(f"{name} {suspect.name} ({suspect.stratum}, {suspect.performance:.3f}): {why}")
        lost = Counter("derived" if suspect.derived else "innocent" for suspect, each in found if reason(each))
        print(f"{name}: {sum(lost.values())} of {len(found)} not understood, {dict(lost)}", flush=True)
        if told.decimals is not None:
            ends = Counter((suspect.derived, each.verdict.outcome.value) for suspect, each in found)
            cut = sum(each.reading.view.cut for _, each in found)
            told_so = ", ".join(f"{'derived' if side else 'innocent'} {end} {n}" for (side, end), n in ends.items())
            print(f"{name}: {cut} of {len(found)} taken for cut off; {told_so}", flush=True)


if __name__ == "__main__":
    main()
