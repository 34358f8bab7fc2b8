"""What the owner's request log tells of strangers' thieves: who is found, which account is named, who is accused.

    python -m tests.bench.foreign.requests digits-1 adult-3 fashion-0 --view label --view full

The account "thief" sent what strangers have, which all of their thieves asked; further accounts sent inputs of the
owner's own that no suspect learnt from. The rows go through the product: an export, a sealed log, a bundle.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from metav_audit.bundle import FingerprintBundle
from metav_audit.evaluation.conditions import VIEWS
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.requests import Requests
from metav_audit.task import Features, ImageDomain, Inputs, TaskSpec
from metav_audit.transcript.log import LogFormat, find_sources, open_log, seal_log
from metav_audit.verdict import Rule, VerdictOutcome
from metav_audit.verdict.accounts import find_in_accounts
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign.figures import PROMISED, ROOT, validity
from tests.bench.foreign.learners import Predict
from tests.bench.foreign.measure import Pair, pairs, shown_by
from tests.bench.foreign.suspects import (
    _HABITS,
    Bench,
    Suspect,
    _learn,
    _made,
    _Plan,
    make_suspects,
)  # fmt: skip
from tests.bench.foreign.tasks import DATA, write_task

THIEF = "thief"
OTHERS = 300
"""Requests of each other account."""
KINDS = ("torch-cnn", "torch-mlp")
ROW_KINDS = ("sklearn-mlp", "sklearn-forest", "lightgbm")
WAYS = ("300 inputs", "stopped early", "shifted", "half its own")


def write_log(project: Path, others: int, hands: int = 1) -> Path:
    """Seal a log in which the thief's account stands among others, or so many of the thief's do; return its folder."""
    bench, folder = Bench(project), project.parent / f"{_name(others, hands)}"
    if (folder / "log.json").exists():
        return folder
    workshop = open_workshop(load_project(project))
    predict, domain = bench.as_suspect(bench.target), bench.spec.domain
    pool = np.concatenate([workshop.data.heldout.inputs, workshop.data.validation.inputs])
    rng = np.random.default_rng(bench.number)
    parts = np.array_split(bench.mine.inputs, hands)
    sent = {THIEF: parts[0]} if hands == 1 else {f"{THIEF} {at}": part for at, part in enumerate(parts)}
    for number in range(others):
        chosen = pool[rng.choice(len(pool), min(OTHERS, len(pool)), replace=False)]
        sent[f"user {number}"] = domain.project(chosen)
    seal_accounts(sent, predict, bench.spec, folder)
    return folder


def seal_accounts(sent: Mapping[str, Inputs], predict: Predict, spec: TaskSpec, folder: Path) -> None:
    """Seal a log of what accounts sent, and were served by a model."""
    export = folder.with_name(f"export-{folder.name}.jsonl")
    with export.open("w") as file:
        for account, inputs in sent.items():
            for each, answer in zip(inputs, predict(inputs), strict=True):
                row = {"time": "2026-03-01T00:00:00Z", "account": account, "input": each.ravel().tolist()}
                file.write(json.dumps({**row, "answer": answer.tolist()}) + "\n")
    seal_log(find_sources([str(export)]), LogFormat(spec), folder)
    export.unlink()


def _name(others: int, hands: int) -> str:
    return f"log-{others}" + (f"-hands-{hands}" if hands > 1 else "")


def fit_log(project: Path, others: int, queries: int, hands: int = 1) -> FingerprintBundle:
    """Fit a bundle by the log, or read it; several accounts of the thief's are a group."""
    path = project.parent / "bundles" / f"{_name(others, hands)}-{queries}.bundle"
    if path.exists():
        return FingerprintBundle.load(path)
    loaded = load_project(project)
    groups = {THIEF: tuple(f"{THIEF} {at}" for at in range(hands))} if hands > 1 else {}
    requests = Requests(open_log(write_log(project, others, hands)), "0" * 64, groups)
    making = Making.of(open_workshop(loaded), build_zoo(loaded), queries=queries, requests=requests)
    bundle = make_bundle(making)
    bundle.save(path)
    return bundle


def odd_thieves(project: Path) -> list[Suspect]:
    """Make thieves who learn less of what they asked."""
    bench = Bench(project)
    pictures = isinstance(bench.spec.domain, ImageDomain)
    made = [
        _made(bench, _Plan(f"odd-{way}-{kind}-{shown}", f"{way}, {shown}", partial(_odd, bench, way, kind, shown)))
        for way in (WAYS if pictures else WAYS[:1])
        for kind in (KINDS if pictures else ROW_KINDS)
        for shown in ("hard", "soft")
    ]
    # Strata other than those of the bench are innocents' there.
    return [replace(one, derived=True) for one in made]


def _odd(bench: Bench, way: str, kind: str, shown: str) -> Predict:
    data, rng = bench.mine, np.random.default_rng(bench.seed(f"{way} {kind} {shown}"))
    if way == "300 inputs":
        data = data.take(np.arange(300))
    answers = bench.as_suspect(bench.target)(data.inputs)
    if shown == "hard":
        answers = answers.argmax(axis=1).astype(np.int64)
    inputs = data.inputs
    if way == "shifted":
        inputs = np.stack([np.roll(each, tuple(rng.integers(-1, 2, 2)), (1, 2)) for each in inputs])
    if way == "half its own":
        own = rng.permutation(len(inputs))[::2]
        answers[own] = data.labels[own] if shown == "hard" else np.eye(bench.spec.output.size)[data.labels[own]]
    if way == "stopped early":
        usual = _HABITS[bench.task]
        _HABITS[bench.task] = usual._replace(epochs=max(usual.epochs // 5, 1))
        try:
            return _learn(bench, kind, LabelledData(inputs, answers), bench.seed(f"{way} {kind}"))
        finally:
            _HABITS[bench.task] = usual
    return _learn(bench, kind, LabelledData(inputs, answers), bench.seed(f"{way} {kind}"))


def rows(name: str, bundle: FingerprintBundle, suspects: Sequence[Suspect], view: str) -> Iterator[str]:
    """Yield a row a stratum: found at the promised rate by rank alone, a match, AUC, and the thief's account named."""
    shown, rule = shown_by(suspects, bundle, VIEWS[view]), Rule.through(bundle, VIEWS[view])
    scored = rule.score_all(shown)
    named = [_named(bundle, rule, Features(*each)) for each in zip(shown.values, shown.mask, strict=True)]
    for stratum in dict.fromkeys(one.stratum for one in suspects):
        mine = [at for at, one in enumerate(suspects) if one.stratum == stratum]
        ranked = [at for at in mine if scored[at].p_value_siblings <= PROMISED]
        matched = [at for at in mine if rule.conclude(scored[at]).outcome is VerdictOutcome.MATCH]
        right = sum(named[at] == THIEF for at in ranked)
        derived = "derived" if suspects[mine[0]].derived else "innocent"
        yield (
            f"{name:<12}{view:<7}{len(bundle.inputs):>4} {derived:<9}{stratum:<26}{len(ranked):>4}/{len(mine):<3}"
            f"{len(matched):>4}/{len(mine):<3}{right:>7}/{len(ranked)}"
        )


def _named(bundle: FingerprintBundle, rule: Rule, shown: Features) -> str:
    found = find_in_accounts(bundle, rule.verifier, shown)
    assert found is not None
    return max(found, key=lambda one: one.nearness).name


def main() -> None:
    """Print the tables of the targets named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--view", action="append", default=[], choices=VIEWS)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--others", type=int, action="append", default=[], help="accounts beside the thief's")
    parser.add_argument("--hands", type=int, default=1, help="accounts that the thief's inputs came from, grouped")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="quick")
    told = parser.parse_args()
    played: list[Pair] = []
    print(f"{'target':<12}{'view':<7}{'n':>4} {'':<9}{'stratum':<26}{'by rank':>8}{'match':>8}{'named':>9}")
    for name in told.targets:
        task, _, number = name.rpartition("-")
        project = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        suspects = [*make_suspects(project), *odd_thieves(project)]
        for others in told.others or [0]:
            bundle = fit_log(project, others, told.queries, told.hands)
            for view in told.view or ["label", "full"]:
                print("\n".join(rows(f"{name} {others}", bundle, suspects, view)), flush=True)
                played.extend(pairs(name, bundle, suspects, VIEWS[view]))
    print("\n".join(validity(played)))


if __name__ == "__main__":
    main()
