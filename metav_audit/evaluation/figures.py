"""Figures of methods on targets, as rows of tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from metav_audit.bundle import FITPRINT, OWN_ARCHITECTURE, ModelCard
from metav_audit.evaluation.scores import TestScores
from metav_audit.evaluation.tables import ErrorRow, Row
from metav_audit.statistics import aruc, cllr, cllr_min, clopper_pearson, mean_interval, roc_auc, tpr_at_fpr
from metav_audit.verdict import VerdictOutcome

COLUMNS: dict[str, Callable[[TestScores], float]] = {
    "AUC": lambda one: roc_auc(one.side(derived=True), one.side(derived=False)),
    "ARUC": lambda one: aruc(one.side(derived=True), one.side(derived=False)),
    "TPR@1%": lambda one: tpr_at_fpr(one.side(derived=True), one.side(derived=False), 0.01),
    "TPR": lambda one: one.share(VerdictOutcome.MATCH, derived=True),
    "FPR": lambda one: one.share(VerdictOutcome.MATCH, derived=False),
    "TNR": lambda one: one.share(VerdictOutcome.NO_MATCH, derived=False),
    "FNR": lambda one: one.share(VerdictOutcome.NO_MATCH, derived=True),
    "Cllr": lambda one: cllr(*one.log10_lrs()),
}
"""Figures of one method on one target.

TPR and FPR are the shares of derived and of independent models that the calibrated verdict calls a match, TNR and FNR
those of independent and of derived models that it calls no match; the rest is inconclusive. Cllr is the cost of the
likelihood ratios: 0 for perfect ones, 1 for ones that say nothing.
"""


WEIGHT_COLUMNS: dict[str, Callable[[TestScores], float]] = {
    "Cllr min": lambda one: cllr_min(one.side(derived=True), one.side(derived=False)),
    "low": lambda one: one.weight.low,
    "high": lambda one: one.weight.high,
    "from": lambda one: float(min(map(np.min, one.log10_lrs()))),
    "to": lambda one: float(max(map(np.max, one.log10_lrs()))),
    "LR<1": lambda one: float((one.log10_lrs()[0] < 0).mean()),
    "LR>1": lambda one: float((one.log10_lrs()[1] > 0).mean()),
}
"""Figures of one method's likelihood ratios on one target.

Cllr min is what Cllr would be with the scores calibrated on the test models themselves. Low and high are the bounds of
the log10 LRs, from and to the lowest and the highest that a test model got. LR<1 and LR>1 are the shares of derived and
of independent models whose LR misleads.
"""


BIT_ERRORS: dict[str, Callable[[TestScores], float]] = {
    "BER +": lambda one: float(1 - one.side(derived=True).mean()),
    "max +": lambda one: float(1 - one.side(derived=True).min()),
    "BER -": lambda one: float(1 - one.side(derived=False).mean()),
    "min -": lambda one: float(1 - one.side(derived=False).max()),
}
"""Shares of target bits that derived (+) and independent (-) models spell wrong: mean, and nearest the other side."""


def target_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return a row a target and method, then for each method the mean over targets and its 95 % interval."""
    return _rows(results, COLUMNS)


def weight_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return the same rows with the figures of the likelihood ratios."""
    return _rows(results, WEIGHT_COLUMNS)


def spelling_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return the same rows with the bit-error rates of targeted fingerprints; none where there is no such."""
    return _rows([one for one in results if one.method == FITPRINT], BIT_ERRORS)


def _rows(results: Sequence[TestScores], columns: dict[str, Callable[[TestScores], float]]) -> list[Row]:
    rows = [_row(one, {name: figure(one) for name, figure in columns.items()}) for one in results]
    summary = []
    for method in dict.fromkeys(one.method for one in results):
        own = [row for row in rows if row.method == method]
        means = {name: mean_interval(np.array([row.figures[name] for row in own])) for name in columns}
        count = (sum(row.derived for row in own), sum(row.independent for row in own))
        summary.append(Row("mean", method, *count, {name: mean for name, (mean, _) in means.items()}))
        if len(own) > 1:
            summary.append(Row("± 95 %", method, *count, {name: half for name, (_, half) in means.items()}))
    return rows + summary


def stratum_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return, for each method and stratum, the mean over targets of its AUC against the whole other side.

    Strata are named by recipe, architecture (the target's own or another) and, for independents, the data.
    """
    rows = []
    for method in dict.fromkeys(one.method for one in results):
        own = [one for one in results if one.method == method]
        strata = sorted({(not card.derived, stratum_of(card)) for one in own for card in one.models})
        rows += [_stratum_row(method, own, stratum, derived=not flipped) for flipped, stratum in strata]
    return rows


def stratum_of(card: ModelCard) -> str:
    """Name the stratum of a test model."""
    architecture = "own" if card.architecture == OWN_ARCHITECTURE else "other"
    if card.derived:
        return f"derived: {card.recipe}, {architecture}"
    if card.twin_of is not None:
        # Twins are all made from held-out data.
        return f"ind.: {card.twin_of} (twin), {architecture}"
    return f"ind.: {card.recipe}, {architecture}, {card.data}"


def _stratum_row(method: str, results: Sequence[TestScores], stratum: str, *, derived: bool) -> Row:
    aucs, rates, members, others = [], [], 0, 0
    wrong = VerdictOutcome.NO_MATCH if derived else VerdictOutcome.MATCH
    for one in results:
        inside = np.array([stratum_of(card) == stratum for card in one.models])
        if not inside.any():
            continue
        other_side = one.side(derived=not derived)
        sides = (one.scores[inside], other_side) if derived else (other_side, one.scores[inside])
        aucs.append(roc_auc(*sides))
        rates.append(np.mean([outcome is wrong for outcome, is_in in zip(one.outcomes, inside, strict=True) if is_in]))
        members, others = members + int(inside.sum()), others + len(other_side)
    counts = (members, others) if derived else (others, members)
    figures = {"AUC": float(np.mean(aucs)), "wrong": float(np.mean(rates))}
    return Row(stratum, method, *counts, figures, "stratum")


def _row(one: TestScores, figures: dict[str, float]) -> Row:
    return Row(one.project, one.method, len(one.side(derived=True)), len(one.side(derived=False)), figures)


def error_rows(results: Sequence[TestScores]) -> list[ErrorRow]:
    """Return observed and promised error rates, for each method, side and stratum, over all targets.

    An error is no match for a derived model, and a match for an independent one. Models of one lineage are no
    independent witnesses, so lineages are counted, each by its worst model. Low and high are the 95 % Clopper-Pearson
    interval of the true rate.
    """
    rows = []
    for method in dict.fromkeys(one.method for one in results):
        own = [one for one in results if one.method == method]
        for derived in (True, False):
            wrongs = [wrong_by_lineage(one, derived=derived) for one in own]
            promised = [one.rates.false_no_match if derived else one.rates.false_match for one in own]
            for stratum in ("all", *sorted(set().union(*wrongs) - {"all"})):
                lineages = [wrong for each in wrongs for wrong in each.get(stratum, {}).values()]
                label = stratum if ":" in stratum else f"{'derived' if derived else 'ind.'}: {stratum}"
                rows.append(_error_row(label, method, lineages, float(np.mean(promised))))
    return rows


def wrong_by_lineage(one: TestScores, *, derived: bool) -> dict[str, dict[str, bool]]:
    """Return, by stratum and lineage, whether any verdict on it is wrong; the stratum "all" is the whole side."""
    wrong = VerdictOutcome.NO_MATCH if derived else VerdictOutcome.MATCH
    found: dict[str, dict[str, bool]] = {}
    for card, outcome in zip(one.models, one.outcomes, strict=True):
        if card.derived is derived:
            for stratum in ("all", stratum_of(card)):
                lineages = found.setdefault(stratum, {})
                lineages[card.lineage] = lineages.get(card.lineage, False) or outcome is wrong
    return found


def _error_row(label: str, method: str, lineages: Sequence[bool], promised: float) -> ErrorRow:
    wrong, count = sum(lineages), len(lineages)
    low, high = clopper_pearson(wrong, count)
    return ErrorRow(label, method, wrong, count, {"rate": wrong / count, "low": low, "high": high, "stated": promised})
