"""Owners who tuned a public ancestor: who is found, which rivals from the same ancestor are accused, and the family.

python -m tests.bench.foreign.ancestors digits fashion --root .bench/foreign --data-dir ../shared/data

A verdict is the product's: its queries, its form of verifier and its rule, calibrated on models that ``kin`` made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from metav_audit.bundle import OWN_ARCHITECTURE, Calibration, ErrorRates, FingerprintBundle, ModelCard
from metav_audit.evaluation.conditions import VIEWS
from metav_audit.fingerprint.methods.base import Materials
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.siblings import METHOD
from metav_audit.fingerprint.weight import fit_table
from metav_audit.statistics import roc_auc
from metav_audit.verdict import Rule, VerdictOutcome, scores_in_full
from metav_audit.verdict.judgement import FAMILY
from metav_audit.zoo.data import OwnerData
from metav_audit.zoo.learners import fit_learners
from tests.bench.foreign.kin import GROUNDS, HEADS, KIN, OUTSIDERS, STRENGTHS, TARGETS, Troupe
from tests.bench.foreign.learners import Network
from tests.bench.foreign.measure import shown_by
from tests.bench.foreign.suspects import DERIVED, Suspect
from tests.bench.foreign.tasks import DATA

PROMISED = 0.05
COUNTS = (16, 64, 256)
STRATA = ("modified", "thief", "rival", "thief of a sibling", "outsider", "ancestor")


@dataclass(frozen=True, slots=True)
class Found:
    """What is found of one suspect of one target.

    Attributes:
        target: its number.
        stratum: one of ``STRATA``.
        derived: whether it is derived from the target.
        score: the meta-verifier's.
        rank: its p-value among siblings.
        family: its p-value among independents that do not start from the ancestor; None behind labels alone.
        outcome: the verdict's.
        told: whether the verdict tells the family alone.
    """

    target: int
    stratum: str
    derived: bool
    score: float
    rank: float
    family: float | None
    outcome: VerdictOutcome
    told: bool


def bundle_of(troupe: Troupe, number: int, count: int) -> FingerprintBundle:
    """Make a target's bundle of so many queries."""
    beside, owners = troupe.beside(), troupe.owners(number)[: troupe.siblings + 1]
    kin, outsiders = (beside[f"{which}-references"] for which in (KIN, OUTSIDERS))
    data = OwnerData(*(troupe.parts[part] for part in (f"target-{number}", "heldout", "validation")))
    given = Materials(
        zoo=Zoo(owners[0], [], [*kin, *outsiders], troupe.spec),
        starts=np.zeros((count, *troupe.spec.domain.shape), np.float32),
        data=data,
        siblings=owners[1:],
        learners=_learners(troupe, number),
        seed=number,
        progress=lambda *_: None,
        kin=[True] * len(kin) + [False] * len(outsiders),
    )
    inputs, verifier = METHOD.optimise(given, None)
    models, cards = _calibration(troupe, number)
    features = features_of_all([*models, owners[0]], inputs, troupe.spec.output)
    calibration = Calibration(features[:-1], tuple(cards))
    whole = troupe.head == "own"
    return FingerprintBundle(
        name=f"{troupe.task}-{number}",
        method=METHOD.name,
        task=troupe.spec,
        inputs=inputs,
        reference=features[-1],
        verifier=verifier,
        calibration=calibration,
        weight=fit_table(scores_in_full(verifier, calibration)),
        rates=ErrorRates(PROMISED, PROMISED),
        provenance={},
        ancestor=features_of_all([troupe.ancestor], inputs, troupe.spec.output)[0] if whole else None,
    )


@lru_cache(maxsize=1)
def _learners(troupe: Troupe, number: int) -> Sequence[Callable[..., np.ndarray]]:
    data = OwnerData(*(troupe.parts[part] for part in (f"target-{number}", "heldout", "validation")))
    return fit_learners(data, troupe.spec.output, number)


def _calibration(troupe: Troupe, number: int) -> tuple[list[nn.Module], list[ModelCard]]:
    beside, models, cards = troupe.beside(), [], []
    sides = [(KIN, False, beside[f"{KIN}-calibration"]), (OUTSIDERS, False, beside[f"{OUTSIDERS}-calibration"])]
    derived = [each.model for each in troupe.derived(number) if isinstance(each, Network)]
    for which, is_derived, members in (*sides, ("derived", True, derived)):
        for place, model in enumerate(members):
            architecture = OWN_ARCHITECTURE if isinstance(model, type(troupe.network())) else "other"
            lineage = f"{which}-{place}"
            models.append(model)
            cards.append(ModelCard(lineage, is_derived, which, architecture, "heldout", 0.9, which, None, which == KIN))
    return models, cards


def look(troupe: Troupe, number: int, bundle: FingerprintBundle, view: str) -> Iterator[Found]:
    """Yield what the product says of a target's suspects, the ancestor among them where it serves the task."""
    suspects = troupe.suspects(number)
    if troupe.head == "own":
        predict = Network(troupe.ancestor, classes=True)
        suspects.append(
            Suspect("ancestor", "ancestor", derived=False, performance=troupe.performance(predict), predict=predict)
        )
    rule = Rule.through(bundle, VIEWS[view])
    for suspect, scored in zip(suspects, rule.score_all(shown_by(suspects, bundle, VIEWS[view])), strict=True):
        judged = rule.conclude(scored)
        stratum = "thief" if suspect.stratum in DERIVED[1:] else suspect.stratum
        rank, family = scored.p_value_siblings, judged.p_value_family
        assert rank is not None
        told = judged.reason.startswith(FAMILY)
        yield Found(number, stratum, suspect.derived, scored.score, rank, family, judged.outcome, told)


def table(title: str, found: Sequence[Found]) -> Iterator[str]:
    """Yield a row: the AUC, and of each stratum how many rank first, match, get no match and the family's verdict."""
    areas = []
    for number in sorted({one.target for one in found}):
        mine = [one for one in found if one.target == number]
        sides = [np.array([one.score for one in mine if one.derived is side]) for side in (True, False)]
        areas.append(float(roc_auc(*sides)))
    line = f"{title}{np.mean(areas):>6.3f}"
    for stratum in STRATA:
        rows = [one for one in found if one.stratum == stratum]
        ranked = sum(one.rank <= PROMISED for one in rows)
        matches, none = (
            sum(one.outcome is each for one in rows) for each in (VerdictOutcome.MATCH, VerdictOutcome.NO_MATCH)
        )
        told, family = sum(one.told for one in rows), sum((one.family or 1) <= PROMISED for one in rows)
        line += f" | {ranked:>3}{matches:>4}{none:>4}{told:>4}{family:>4} of {len(rows):<3}"
    yield line


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=tuple(GROUNDS))
    parser.add_argument("--head", action="append", choices=HEADS)
    parser.add_argument("--strength", action="append", choices=STRENGTHS)
    parser.add_argument("--targets", type=int, default=TARGETS, help=f"at most {TARGETS}")
    parser.add_argument("--queries", action="append", type=int)
    parser.add_argument("--root", type=Path, default=Path(".bench/foreign"))
    parser.add_argument("--data-dir", type=Path, default=DATA)
    told = parser.parse_args()
    torch.set_num_threads(1)
    print("of each stratum: first among siblings, match, no match, family's verdict, family certain, of so many")
    print(
        f"{'task':<9}{'head':<5}{'tuned':<8}{'view':<7}{'n':>4}{'AUC':>6}" + "".join(f" | {one:<26}" for one in STRATA)
    )
    for task in told.tasks:
        for head in told.head or HEADS:
            for strength in told.strength or STRENGTHS:
                troupe = Troupe(task, head, strength, told.root, told.data_dir)
                for count in told.queries or COUNTS:
                    bundles = [bundle_of(troupe, number, count) for number in range(told.targets)]
                    for view in ("label", "full"):
                        rows = [one for at, each in enumerate(bundles) for one in look(troupe, at, each, view)]
                        title = f"{task:<9}{head:<5}{strength:<8}{view:<7}{count:>4}"
                        print("\n".join(table(title, rows)), flush=True)


if __name__ == "__main__":
    main()
