"""Without siblings: is the target a stranger among the zoo's models of its architecture, and who is accused if it is?

    python -m tests.bench.foreign.beside_zoo digits-0 adult-0 warfarin-1 fashion-0 --preset quick

prints, for each target and view, matches of innocents and of derived models without the test and with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from metav_audit.evaluation.conditions import VIEWS, Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.verdict import Rule, VerdictOutcome, guard
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.measure import shown_by
from tests.bench.foreign.suspects import make_suspects
from tests.bench.foreign.tasks import DATA, write_task


def main() -> None:
    """Print a row a target and view."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--method", default="committee")
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="standard")
    told = parser.parse_args()
    print(f"{'target':<12}{'view':<7}{'stranger':<10}{'innocents accused':<22}{'derived found':<20}differs most")
    for name in told.targets:
        task, _, number = name.rpartition("-")
        path = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        project = load_project(path)
        zoo, suspects, workshop = build_zoo(project), make_suspects(path), open_workshop(project)
        for view in ("full", "label") if project.task.output.labelled else ("full",):
            bundle = keep_bundle(workshop, zoo, told.method, Condition(view, told.queries))
            rule = Rule.through(bundle, VIEWS[view])
            found: dict[tuple[bool, bool], int] = {}
            for suspect, one in zip(suspects, rule.score_all(shown_by(suspects, bundle, VIEWS[view])), strict=True):
                plain, guarded = guard(rule.judge(one), rule.held_out), rule.conclude(one)
                for tested, judged in ((False, plain), (True, guarded)):
                    key = suspect.derived, tested
                    found[key] = found.get(key, 0) + (judged.outcome is VerdictOutcome.MATCH)
            counts = {side: sum(suspect.derived is side for suspect in suspects) for side in (False, True)}
            rows = [f"{found[side, False]} -> {found[side, True]} of {counts[side]}" for side in (False, True)]
            beside = bundle.provenance.get("stranger") or {}
            stranger = {None: "untold", True: "yes", False: "no"}[beside.get("is_stranger")]
            print(f"{name:<12}{view:<7}{stranger:<10}{rows[0]:<22}{rows[1]:<20}{str(beside.get('differs'))[:70]}")


if __name__ == "__main__":
    main()
