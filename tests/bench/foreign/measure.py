"""What a method says of strangers: suspects that others made from data that the owner never saw.

python -m tests.bench.foreign digits-0 fashion-0 --method siblings --method committee --view full --view label
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle, VerifierKind
from metav_audit.bundle.forms import accounts, siblings
from metav_audit.evaluation.conditions import VIEWS, Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.statistics import roc_auc
from metav_audit.task import Features, OutputView
from metav_audit.verdict import Rule, VerdictOutcome
from metav_audit.verdict.judgement import conformal_p_value
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.surrogates import SurrogateZoo
from tests.bench.foreign.suspects import Suspect


@dataclass(frozen=True, slots=True)
class Found:
    """What a method says of one suspect of one target.

    Attributes:
        target: the target's name.
        method: the method's.
        condition: what the suspect shows, and how many queries it is asked.
        suspect: who was asked.
        score: the meta-verifier's.
        p_value_siblings: of its rank; None without siblings.
        outcome: of the rule that audits decide by.
    """

    target: str
    method: str
    condition: Condition
    suspect: Suspect
    score: float
    p_value_siblings: float | None
    outcome: VerdictOutcome


@dataclass(frozen=True, slots=True)
class Pair:
    """One innocent suspect beside one model that plays the target.

    Attributes:
        target: whose siblings play.
        player: which of its K + 1 models plays the target, 0 for the target itself.
        stratum: the suspect's.
        p_value: among independents.
        p_value_siblings: among the other models.
    """

    target: str
    player: int
    stratum: str
    p_value: float
    p_value_siblings: float


def shown_by(suspects: Sequence[Suspect], bundle: FingerprintBundle, view: OutputView) -> Features:
    """Return what suspects answer, of shape (S, N, D), as an API with this view shows it."""
    space = bundle.task.output
    raw = np.stack([suspect.predict(bundle.inputs).reshape(len(bundle.inputs), -1) for suspect in suspects])
    values = space.canonical(raw.astype(np.float64), space.score_kinds[0]).astype(np.float32)
    return view.apply(Features(values, np.ones(values.shape, dtype=np.bool_)), space)


def measure(
    target: str,
    workshop: Workshop,
    zoo: SurrogateZoo,
    suspects: Sequence[Suspect],
    methods: Sequence[str],
    conditions: Sequence[Condition],
) -> Iterator[Found]:
    """Yield what each method says of each suspect under each condition; bundles are kept beside the project."""
    for method in methods:
        for condition in conditions:
            bundle, view = keep_bundle(workshop, zoo, method, condition), VIEWS[condition.view]
            rule = Rule.through(bundle, view)
            for suspect, one in zip(suspects, rule.score_all(shown_by(suspects, bundle, view)), strict=True):
                outcome = rule.conclude(one).outcome
                yield Found(target, method, condition, suspect, one.score, one.p_value_siblings, outcome)


def pairs(target: str, bundle: FingerprintBundle, suspects: Sequence[Suspect], view: OutputView) -> Iterator[Pair]:
    """Yield every innocent suspect beside every model that can play the target.

    Beside a sibling, whoever was derived from the target is a thief of a sibling, and innocent.
    """
    verifier = bundle.verifier.through(view, bundle.task.output)
    tensors = {name: np.asarray(tensor, np.float64) for name, tensor in verifier.tensors.items()}
    shown = shown_by(suspects, bundle, view)
    answers = bundle.calibration.features
    known = view.apply(Features(answers, np.ones(answers.shape, dtype=np.bool_)), bundle.task.output)
    likeness_of = _LIKENESS[verifier.kind]
    theirs = ahead_of(likeness_of(tensors, known.values.astype(np.float64), known.mask))
    likeness = likeness_of(tensors, shown.values.astype(np.float64), shown.mask)
    mine = ahead_of(likeness)
    lineages = [(card.lineage, card.derived) for card in bundle.calibration.models]
    for player in range(likeness.shape[1]):
        usual = highest(lineages, theirs[:, player])
        ranks = (likeness >= likeness[:, player : player + 1] - siblings.EQUAL).mean(axis=1)
        for suspect, ahead, rank in zip(suspects, mine[:, player].tolist(), ranks.tolist(), strict=True):
            if player == 0 and suspect.derived:
                continue
            stratum = "thief of a sibling" if suspect.derived else suspect.stratum
            yield Pair(target, player, stratum, conformal_p_value(ahead, usual), rank)


_LIKENESS = {
    VerifierKind.SIBLINGS: siblings.likeness_of,
    VerifierKind.ACCOUNTS: lambda *told: accounts.nearness_of(*told).max(axis=1),
}


def ahead_of(likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how many standard deviations of the others each model lies ahead of them, of the same shape."""
    columns = range(likeness.shape[1])
    others = [np.delete(likeness, column, axis=1) for column in columns]
    return np.stack(
        [(likeness[:, at] - rest.mean(axis=1)) / (rest.std(axis=1) + siblings.EQUAL) for at, rest in enumerate(others)],
        axis=1,
    )


def highest(lineages: Sequence[tuple[str, bool]], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    found: dict[str, float] = {}
    for (lineage, derived), score in zip(lineages, scores.tolist(), strict=True):
        if not derived:
            found[lineage] = max(score, found.get(lineage, score))
    return np.array(list(found.values()))


def area(found: Sequence[Found], stratum: str | None = None) -> float:
    """Return the AUC of the derived suspects, of one stratum or all, against all innocents."""
    derived = [one.score for one in found if one.suspect.derived and stratum in (None, one.suspect.stratum)]
    innocent = [one.score for one in found if not one.suspect.derived]
    return float(roc_auc(np.array(derived), np.array(innocent))) if derived and innocent else float("nan")
