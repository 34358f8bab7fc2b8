"""Measure methods on the test split: models whose lineages neither the fit nor the calibration has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metav_audit.bundle import FingerprintBundle, ModelCard
from metav_audit.errors import DataError
from metav_audit.fingerprint import metrics
from metav_audit.fingerprint.features import features_of_all
from metav_audit.fingerprint.fit import fit_bundle, models_of
from metav_audit.fingerprint.metrics import Scores
from metav_audit.progress import Progress, silent
from metav_audit.verdict import VerdictOutcome, calibration_scores, judge
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.surrogates import SurrogateZoo

MINIMUM_MODELS = 5
"""Below this number of test models on either side no figure is given."""


@dataclass(frozen=True, slots=True)
class TestScores:
    """One method on one target: the test models, their scores and verdicts.

    Attributes:
        project: the project's name and seed, such as "digits 10".
        method: the method.
        models: one card a test model.
        scores: float64 of shape (T,).
        outcomes: the verdict on each.
    """

    project: str
    method: str
    models: tuple[ModelCard, ...]
    scores: Scores
    outcomes: tuple[VerdictOutcome, ...]

    def side(self, *, derived: bool) -> Scores:
        """Return the scores of one side."""
        inside = np.array([card.derived is derived for card in self.models])
        return np.asarray(self.scores[inside], dtype=np.float64)

    def share(self, outcome: VerdictOutcome, *, derived: bool) -> float:
        """Return the share of one side that got this verdict."""
        hits = [one is outcome for one, card in zip(self.outcomes, self.models, strict=True) if card.derived is derived]
        return float(np.mean(hits))


def evaluate_project(
    project: Project, methods: Sequence[str], *, jobs: int | None = None, progress: Progress = silent
) -> list[TestScores]:
    """Train what the zoo lacks, fit what bundles lack, and score the test split with each method.

    Bundles are kept beside the project, in ``bundles/``, and used again.

    Raises:
        DataError: the zoo's test split is too small; the preset "quick" has none.
    """
    zoo = build_zoo(project, jobs=jobs, progress=progress)
    workshop = open_workshop(project)
    for side in (True, False):
        if len(zoo.select(Split.TEST, derived=side)) < MINIMUM_MODELS:
            raise DataError(
                f"the zoo of {project.path} has fewer than {MINIMUM_MODELS} useful test models of a side: "
                'set preset = "standard" below [zoo]'
            )
    folder = project.folder / "bundles"
    bundles = [fit_bundle(workshop, zoo, _bundle_path(folder, method), method)[0] for method in methods]
    return [score_test_split(workshop, zoo, bundle) for bundle in bundles]


def score_test_split(workshop: Workshop, zoo: SurrogateZoo, bundle: FingerprintBundle) -> TestScores:
    """Score and judge the test models as an auditor would, given their full answers."""
    surrogates = zoo.select(Split.TEST, derived=True) + zoo.select(Split.TEST, derived=False)
    answers = features_of_all(models_of(workshop, surrogates), bundle.inputs)
    scores = bundle.verifier.scores(answers, np.ones(answers.shape, dtype=np.bool_))
    held_out = calibration_scores(bundle)
    outcomes = tuple(judge(score, held_out, bundle.rates).outcome for score in scores.tolist())
    settings = workshop.project.settings
    name = f"{settings.name} {settings.seed}"
    return TestScores(name, bundle.method, tuple(one.card for one in surrogates), scores, outcomes)


def _bundle_path(folder: Path, method: str) -> Path:
    return folder / f"{method}.bundle"


COLUMNS: dict[str, Callable[[TestScores], float]] = {
    "AUC": lambda one: metrics.roc_auc(one.side(derived=True), one.side(derived=False)),
    "ARUC": lambda one: metrics.aruc(one.side(derived=True), one.side(derived=False)),
    "TPR@1%": lambda one: metrics.tpr_at_fpr(one.side(derived=True), one.side(derived=False), 0.01),
    "TPR@5%": lambda one: metrics.tpr_at_fpr(one.side(derived=True), one.side(derived=False), 0.05),
    "TPR": lambda one: one.share(VerdictOutcome.MATCH, derived=True),
    "FPR": lambda one: one.share(VerdictOutcome.MATCH, derived=False),
    "TNR": lambda one: one.share(VerdictOutcome.NO_MATCH, derived=False),
    "FNR": lambda one: one.share(VerdictOutcome.NO_MATCH, derived=True),
}
"""Figures of one method on one target.

TPR and FPR are the shares of derived and of independent models that the calibrated verdict calls a match, TNR and FNR
those of independent and of derived models that it calls no match; the rest is inconclusive.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of figures.

    Attributes:
        label: the target, "mean" or a stratum.
        method: the method.
        derived: number of derived models.
        independent: number of independent models.
        figures: by column name; NaN where there is none.
    """

    label: str
    method: str
    derived: int
    independent: int
    figures: dict[str, float]


def target_rows(results: Sequence[TestScores]) -> list[Row]:
    """Return a row a target and method, then for each method the mean over targets and its 95 % interval."""
    rows = [_row(one.project, one, {name: figure(one) for name, figure in COLUMNS.items()}) for one in results]
    summary = []
    for method in dict.fromkeys(one.method for one in results):
        own = [row for row in rows if row.method == method]
        means = {name: metrics.mean_interval(np.array([row.figures[name] for row in own])) for name in COLUMNS}
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
    architecture = "own" if card.architecture == "target" else "other"
    if card.derived:
        return f"derived: {card.recipe}, {architecture}"
    recipe = card.recipe.replace(" of an independent", " (twin)")
    return f"ind.: {recipe}, {architecture}, {card.data}"


def _stratum_row(method: str, results: Sequence[TestScores], stratum: str, *, derived: bool) -> Row:
    aucs, rates, members, others = [], [], 0, 0
    wrong = VerdictOutcome.NO_MATCH if derived else VerdictOutcome.MATCH
    for one in results:
        inside = np.array([stratum_of(card) == stratum for card in one.models])
        if not inside.any():
            continue
        other_side = one.side(derived=not derived)
        sides = (one.scores[inside], other_side) if derived else (other_side, one.scores[inside])
        aucs.append(metrics.roc_auc(*sides))
        rates.append(np.mean([outcome is wrong for outcome, is_in in zip(one.outcomes, inside, strict=True) if is_in]))
        members, others = members + int(inside.sum()), others + len(other_side)
    counts = (members, others) if derived else (others, members)
    return Row(stratum, method, *counts, {"AUC": float(np.mean(aucs)), "wrong": float(np.mean(rates))})


def _row(label: str, one: TestScores, figures: dict[str, float]) -> Row:
    return Row(label, one.method, len(one.side(derived=True)), len(one.side(derived=False)), figures)


def as_text(rows: Sequence[Row]) -> str:
    """Write rows as aligned columns that fit a terminal of 80."""
    lines = _lines(rows, lambda value: f"{value:.3f}".replace("0.", ".", 1))
    return "".join("  ".join(line).rstrip() + "\n" for line in _aligned(lines))


def as_markdown(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table."""
    header, *lines = _aligned(_lines(rows, lambda value: f"{value:.3f}"))
    rule = ["-" * len(cell) for cell in header]
    return "".join("| " + " | ".join(line) + " |\n" for line in [header, rule, *lines])


def as_csv(rows: Sequence[Row]) -> str:
    """Write rows as CSV, with all digits."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_lines(rows, repr))
    return text.getvalue()


def _lines(rows: Sequence[Row], number: Callable[[float], str]) -> list[list[str]]:
    names = list(rows[0].figures)
    lines = [["target" if "ARUC" in names else "stratum", "method", "+/-", *names]]
    for row in rows:
        figures = ["" if np.isnan(row.figures[name]) else number(row.figures[name]) for name in names]
        lines.append([row.label, row.method, f"{row.derived}/{row.independent}", *figures])
    return lines


def _aligned(lines: list[list[str]]) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
