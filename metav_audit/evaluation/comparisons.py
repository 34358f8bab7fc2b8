"""Rows that compare: methods in pairs over targets, what an API shows, numbers of queries, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from metav_audit.evaluation.conditions import USUAL, Condition
from metav_audit.evaluation.figures import (
    error_rows,
    spelling_rows,
    stratum_rows,
    target_rows,
    weight_rows,
    wrong_by_lineage,
)
from metav_audit.evaluation.heldout import HeldOut
from metav_audit.evaluation.scores import TestScores
from metav_audit.evaluation.tables import ErrorRow, Row, Rows
from metav_audit.statistics import clopper_pearson
from metav_audit.statistics import roc as metrics
from metav_audit.verdict import VerdictOutcome


def all_rows(results: Sequence[TestScores], left_out: Mapping[str, Sequence[TestScores]]) -> list[Rows]:
    """Return all tables of an evaluation, without the empty ones.

    Args:
        results: of ``evaluate_project``, of all projects.
        left_out: of ``evaluate_held_out``, by what was left out.
    """
    usual = [one for one in results if one.condition == USUAL]
    shown = condition_rows(results) if len(usual) < len(results) else []
    tables: list[Rows] = [target_rows(usual), weight_rows(usual), stratum_rows(usual), error_rows(usual)]
    tables += [spelling_rows(usual), pair_rows(results), shown]
    for what, found in left_out.items():
        tables += [left_out_rows(found), pair_rows(found)]
        if what != HeldOut.FAMILY:
            tables.append(stranger_rows(found))
    return [rows for rows in tables if rows]


def auc(one: TestScores) -> float:
    """Return the AUC of one method on one target."""
    return metrics.roc_auc(one.side(derived=True), one.side(derived=False))


def tpr_at(limit: float) -> Callable[[TestScores], float]:
    """Return the figure "share of derived models found at a false-positive rate of at most ``limit``"."""
    return lambda one: metrics.tpr_at_fpr(one.side(derived=True), one.side(derived=False), limit)


SHARES: dict[str, Callable[[TestScores], float]] = {
    "TPR": lambda one: one.share(VerdictOutcome.MATCH, derived=True),
    "FPR": lambda one: one.share(VerdictOutcome.MATCH, derived=False),
    "TNR": lambda one: one.share(VerdictOutcome.NO_MATCH, derived=False),
}
"""Shares of the calibrated verdict: derived and independent models called a match, independent ones no match."""


def condition_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return, for each condition and method, means over targets; ± is the half-width of AUC's 95 % interval."""
    return [
        _condition_row(condition, method, own)
        for condition in dict.fromkeys(one.condition for one in results)
        for method, own in _by_method([one for one in results if one.condition == condition])
    ]


def _condition_row(condition: Condition, method: str, own: Sequence[TestScores]) -> Row:
    mean, half = metrics.mean_interval(np.array([auc(one) for one in own]))
    figures = {"AUC": mean, "±": half} | _means(own, {"TPR@1%": tpr_at(0.01), "TPR@5%": tpr_at(0.05), **SHARES})
    return Row(name_of(condition), method, *_counts(own), figures, "shown")


def name_of(condition: Condition) -> str:
    """Name a condition, such as "top3" or "full, 8"."""
    parts = (condition.wire or condition.view, "" if condition.queries is None else str(condition.queries))
    return ", ".join(filter(None, parts))


def pair_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return, for the first method and each other, the mean over targets of their difference and its 95 % interval.

    Both are scored on the same models of the same targets, so that the spread between targets drops out: a paired t
    interval. Where something was left out in turn, a target's figure is the mean over what was left out.
    """
    usual = [one for one in results if one.condition == USUAL]
    by_method = dict(_by_method(usual))
    if not by_method or len({one.project for one in usual}) < 2:
        return []
    first, *others = by_method
    figures = {"AUC": auc, "TPR@1%": tpr_at(0.01), "TPR@5%": tpr_at(0.05)}
    rows = []
    for other in others:
        found = {}
        for name, figure in figures.items():
            difference = _by_target(by_method[first], figure) - _by_target(by_method[other], figure)
            found[name], found[f"± {name[:3]}{name[4:]}"] = metrics.mean_interval(difference)
        rows.append(Row(f"{first} -", other, *_counts(by_method[other]), found, "less"))
    return rows


def _by_target(own: Sequence[TestScores], figure: Callable[[TestScores], float]) -> metrics.Scores:
    projects = dict.fromkeys(one.project for one in own)
    return np.array([np.mean([figure(one) for one in own if one.project == project]) for project in projects])


def left_out_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return, for each condition, method and family left out, means over targets, and the lowest AUC of any target.

    The family "all" has the mean over families and targets, and the lowest of all; @5% is the TPR at an FPR of 5 %.
    """
    rows = []
    for condition in dict.fromkeys(one.condition for one in results):
        for method, own in _by_method([one for one in results if one.condition == condition]):
            families = dict.fromkeys(one.left_out or "" for one in own)
            groups = [(name, [one for one in own if one.left_out == name]) for name in families]
            suffix = "" if condition == USUAL else f", {name_of(condition)}"
            rows += [_left_out_row(f"{name}{suffix}", method, group) for name, group in [*groups, ("all", own)]]
    return rows


def _left_out_row(label: str, method: str, own: Sequence[TestScores]) -> Row:
    aucs = np.array([auc(one) for one in own])
    figures = {"AUC": float(aucs.mean()), "min": float(aucs.min())}
    shares = {"@5%": tpr_at(0.05), **SHARES, "FNR": lambda one: one.share(VerdictOutcome.NO_MATCH, derived=True)}
    return Row(label, method, *_counts(own), figures | _means(own, shares), "left out")


def stranger_rows(results: Sequence[TestScores]) -> list[ErrorRow]:
    """Return observed and promised rates of false matches on independents of each architecture, or data, left out.

    Lineages are counted, each wrong if any of its models is called a match. "Bare" is the rate if a match needed no
    independents of the target's own architecture in the calibration.
    """
    rows = []
    for method, own in _by_method([one for one in results if one.condition == USUAL]):
        names = dict.fromkeys(one.left_out or "" for one in own)
        groups = [(name, [one for one in own if one.left_out == name]) for name in names]
        rows += [_stranger_row(name, method, group) for name, group in [*groups, ("all", own)]]
    return rows


def _stranger_row(label: str, method: str, own: Sequence[TestScores]) -> ErrorRow:
    wrongs = [wrong for one in own for wrong in wrong_by_lineage(one, derived=False)["all"].values()]
    low, high = clopper_pearson(sum(wrongs), len(wrongs))
    stated = float(np.mean([one.rates.false_match for one in own]))
    plain = [replace(one, outcomes=one.unguarded) for one in own]
    bare = [wrong for one in plain for wrong in wrong_by_lineage(one, derived=False)["all"].values()]
    figures = {
        "FPR": sum(wrongs) / len(wrongs),
        "low": low,
        "high": high,
        "stated": stated,
        "bare": float(np.mean(bare)),
    }
    return ErrorRow(label, method, sum(wrongs), len(wrongs), figures, "left out")


def _by_method(results: Sequence[TestScores]) -> Iterator[tuple[str, list[TestScores]]]:
    for method in dict.fromkeys(one.method for one in results):
        yield method, [one for one in results if one.method == method]


def _means(own: Sequence[TestScores], figures: dict[str, Callable[[TestScores], float]]) -> dict[str, float]:
    return {name: float(np.mean([figure(one) for one in own])) for name, figure in figures.items()}


def _counts(own: Sequence[TestScores]) -> tuple[int, int]:
    return sum(len(one.side(derived=True)) for one in own), sum(len(one.side(derived=False)) for one in own)
