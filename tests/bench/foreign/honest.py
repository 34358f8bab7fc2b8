"""Whether strangers who are asked rightly are understood: suspects of others' making, and the reasons of no verdict.

python -m tests.bench.foreign.honest digits-1 adult-3 warfarin-1
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from metav_audit.bundle import FingerprintBundle, Schedule, asked_inputs
from metav_audit.evaluation.conditions import Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.task import Answer
from metav_audit.transcript import EndpointRecord, Exchange, Transcript
from metav_audit.verdict import conclude
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.suspects import Suspect, make_suspects
from tests.bench.foreign.tasks import DATA, write_task

NONCE = "5c" * 16
BEYOND = "it lies below that of every independent"


def reasons(bundle: FingerprintBundle, suspects: Sequence[Suspect]) -> Iterator[tuple[Suspect, str]]:
    """Yield for each suspect why it gets no verdict, as far as that is whether it was asked rightly; else nothing."""
    space = bundle.task.output
    for suspect in suspects:
        raw = suspect.predict(asked_inputs(bundle)).reshape(-1, space.size).tolist()
        answers = [Answer(tuple(raw[number])) for number in Schedule.for_bundle(bundle, NONCE).numbers]
        exchanges = tuple(Exchange(place, answer, None, (), place) for place, answer in enumerate(answers))
        endpoint = EndpointRecord(suspect.name, "python", "", space.score_kinds[0], {})
        told = Transcript(bundle.sha256, endpoint, "", "", "", exchanges, len(answers), NONCE, (), "f" * 64, {})
        decision = conclude(bundle, told)
        own = [*decision.reading.faults, *(each for each in decision.verdict.reasons if BEYOND in each)]
        yield suspect, own[0] if own else ""


def main() -> None:
    """Print a line for each suspect that was not understood, and how many were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--queries", type=int, default=64)
    told = parser.parse_args()
    for name in told.targets:
        task, _, number = name.rpartition("-")
        path = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        project = load_project(path)
        bundle = keep_bundle(open_workshop(project), build_zoo(project), "siblings", Condition("full", told.queries))
        found = list(reasons(bundle, make_suspects(path)))
        for suspect, reason in found:
            if reason:
                print(f"{name} {suspect.name} ({suspect.stratum}, {suspect.performance:.3f}): {reason}")
        lost = Counter("derived" if suspect.derived else "innocent" for suspect, reason in found if reason)
        print(f"{name}: {sum(lost.values())} of {len(found)} not understood, {dict(lost)}", flush=True)


if __name__ == "__main__":
    main()
