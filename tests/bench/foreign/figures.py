"""What methods say of strangers, in tables: who is found, who is accused, and how a promise holds.

python -m tests.bench.foreign.figures digits-0 adult-0 --method siblings --method committee --view full --view label
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from metav_audit.evaluation.conditions import VIEWS, Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.fingerprint.methods.registry import METHODS
from metav_audit.statistics import clopper_pearson
from metav_audit.verdict import VerdictOutcome
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.plan import USUAL_RATES
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign.measure import Found, Pair, area, measure, pairs
from tests.bench.foreign.suspects import DERIVED, make_suspects
from tests.bench.foreign.tasks import DATA, TASKS, write_task

ROOT = Path(".bench/foreign")
PROMISED = USUAL_RATES.false_match


def power(found: Iterable[Found]) -> Iterator[str]:
    """Yield a row a task, condition and method: matches and no-matches of so many, stratum by stratum, and AUCs."""

    def key(one: Found) -> tuple[str, str, int, str]:
        return one.target.rpartition("-")[0], one.condition.view, one.condition.queries or 0, one.method

    yield (
        f"{'task':<12}{'view':<8}{'n':>5} {'method':<11}{'AUC':>6}"
        + "".join(f"{name:>17}" for name in DERIVED)
        + ("  innocents: match, no match")
    )
    for (task, view, queries, method), group in groupby(sorted(found, key=key), key):
        rows = list(group)
        # Scores of one target are not on another's scale: the mean over targets, not the AUC of all together.
        targets = [[one for one in rows if one.target == name] for name in sorted({one.target for one in rows})]
        line = f"{task:<12}{view:<8}{queries:>5} {method:<11}{_mean(area(each) for each in targets):>6.3f}"
        for stratum in DERIVED:
            mine = [one for one in rows if one.suspect.stratum == stratum]
            line += f"{_mean(area(each, stratum) for each in targets):>7.3f}{_counts(mine):>10}"
        innocents = [one for one in rows if not one.suspect.derived]
        strata = sorted({one.suspect.stratum for one in innocents})
        told = [f"{name} {_counts([one for one in innocents if one.suspect.stratum == name])}" for name in strata]
        yield f"{line}  {'; '.join(told)}"


def validity(told: Iterable[Pair], promised: float = PROMISED) -> Iterator[str]:
    """Yield a row a stratum: how often innocents are accused where each model plays the target in its turn."""
    everything = list(told)
    yield f"{'stratum':<24}{'pairs':>7}{'by rank':>9}{'by both':>9}   95 % bound   worst target"
    for stratum in [*sorted({one.stratum for one in everything}), "all"]:
        rows = [one for one in everything if stratum in ("all", one.stratum)]
        ranked = [one for one in rows if one.p_value_siblings <= promised]
        both = [one for one in ranked if one.p_value <= promised]
        _, high = clopper_pearson(len(both), len(rows))
        players: dict[tuple[str, int], list[bool]] = {}
        for one in rows:
            accused = one.p_value_siblings <= promised and one.p_value <= promised
            players.setdefault((one.target, one.player), []).append(accused)
        worst = max(sum(each) / len(each) for each in players.values())
        yield (
            f"{stratum:<24}{len(rows):>7}{len(ranked) / len(rows):>9.3f}{len(both) / len(rows):>9.3f}{high:>13.3f}"
            f"{worst:>15.3f}  of {len(players)}"
        )


def _counts(rows: Sequence[Found]) -> str:
    outcomes = [one.outcome for one in rows]
    return f"{outcomes.count(VerdictOutcome.MATCH)},{outcomes.count(VerdictOutcome.NO_MATCH)}/{len(rows)}"


def _mean(values: Iterable[float]) -> float:
    told = list(values)
    return sum(told) / len(told) if told else float("nan")


def main() -> None:
    """Print the tables of the targets named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", help=f"TASK-NUMBER, of the tasks {', '.join(TASKS)}")
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--view", action="append", default=[], choices=VIEWS)
    parser.add_argument("--queries", action="append", default=[], type=int)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--promised", type=float, default=PROMISED, help="share of false matches")
    parser.add_argument("--jobs", type=int)
    told = parser.parse_args()
    budgets, methods = told.queries or [None], told.method or ["siblings"]
    conditions = [Condition(view, count) for view in told.view or ["full", "label"] for count in budgets]
    found: list[Found] = []
    played: list[Pair] = []
    for name in told.targets:
        task, _, number = name.rpartition("-")
        try:
            path = write_task(
                task, int(number), told.root, data=told.data_dir, preset=told.preset, promised=told.promised
            )
        except (FileNotFoundError, KeyError, ValueError) as error:
            parser.error(f"{name}: {error}")
        project = load_project(path)
        zoo, suspects, space = build_zoo(project, jobs=told.jobs), make_suspects(path), project.task.output
        usable = [one for one in conditions if space.labelled or not VIEWS[one.view].label_only]
        able = [method for method in methods if METHODS[method].serves(space.kind)]
        found.extend(measure(name, open_workshop(project), zoo, suspects, able, usable))
        if "siblings" in able:
            # All scores, and the most queries: who is told most can be accused most.
            bundle = keep_bundle(open_workshop(project), zoo, "siblings", Condition("full", budgets[-1]))
            played.extend(pairs(name, bundle, suspects, VIEWS["full"]))
    print("\n".join(power(found)))
    if played:
        print("\n" + "\n".join(validity(played, told.promised)))


if __name__ == "__main__":
    main()
