"""Measure methods on the test split: models whose lineages neither the fit nor the calibration has seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metav_audit.bundle import ErrorRates, FingerprintBundle, ModelCard
from metav_audit.errors import ConfigurationError, DataError
from metav_audit.fingerprint import metrics
from metav_audit.fingerprint.features import features_of_all
from metav_audit.fingerprint.fit import fit_bundle, models_of
from metav_audit.fingerprint.metrics import Scores
from metav_audit.fingerprint.tables import ErrorRow, Row
from metav_audit.fingerprint.wire import NOISES, WIRES, check_wire, through
from metav_audit.outputs import OutputKind
from metav_audit.progress import Progress, silent
from metav_audit.responses import Features
from metav_audit.statistics import cllr, cllr_min, clopper_pearson
from metav_audit.targeted import FITPRINT
from metav_audit.task import TaskSpec
from metav_audit.verdict import Rule, VerdictOutcome, guard
from metav_audit.views import FULL_VIEW, OutputView, with_noise
from metav_audit.weight import WeightTable
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.surrogates import SurrogateZoo

MINIMUM_MODELS = 5
"""Below this number of test models on either side no figure is given."""


VIEWS: dict[str, OutputView] = {
    "full": FULL_VIEW,
    "top5": OutputView(top=5),
    "top3": OutputView(top=3),
    "top1": OutputView(top=1),
    "3-decimals": OutputView(decimals=3),
    "2-decimals": OutputView(decimals=2),
    "noisy": OutputView(noise=0.01),
    "label": OutputView(label_only=True),
}
"""What an API may show of an output, by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What test models show, and how many queries they are asked.

    Attributes:
        view: a name in ``VIEWS``; test and calibration models are seen through it.
        queries: the fingerprint's size; the project's own if None.
        wire: a name in ``wire.WIRES`` or ``wire.NOISES``, what becomes of a test model's inputs or answers; nothing if
            None. The calibration knows nothing of it.
    """

    view: str = "full"
    queries: int | None = None
    wire: str | None = None


def conditions_of(views: Sequence[str], budgets: Sequence[int], wires: Sequence[str] = ()) -> list[Condition]:
    """Return every view, the full one first, at the project's number of queries and at each other, then every wire."""
    sizes = (None, *dict.fromkeys(budgets))
    seen = [Condition(view, size) for size in sizes for view in dict.fromkeys(("full", *views))]
    return seen + [Condition(wire=wire) for wire in dict.fromkeys(wires)]


def check_conditions(conditions: Sequence[Condition], task: TaskSpec) -> None:
    """Raise ConfigurationError if a view is of classes, and the output has none, or a wire of pictures."""
    kind = task.output.kind
    for wire in filter(None, (one.wire for one in conditions)):
        check_wire(wire, task.domain)
    of_classes = [one.view for one in conditions if VIEWS[one.view].label_only or VIEWS[one.view].top is not None]
    if of_classes and kind is not OutputKind.CLASSIFICATION:
        raise ConfigurationError(f"the view {of_classes[0]!r} is one of classes, and a {kind} has none: use decimals")


USUAL = Condition()
"""Everything is shown, and the project's own number of queries asked."""


@dataclass(frozen=True, slots=True)
class TestScores:
    """One method on one target: the test models, their scores and verdicts.

    Attributes:
        project: the project's name and seed, such as "digits 10".
        method: the method.
        models: one card a test model.
        scores: float64 of shape (T,).
        outcomes: the verdict on each.
        weight: the likelihood ratios that belong to what was shown.
        rates: the error rates that the bundle promises.
        condition: what was shown, and of how many queries.
        left_out: what fit and calibration did without, such as a family; None where nothing was left out.
        unguarded: what the verdicts would be if a match needed no independents of the target's own architecture in the
            calibration.
    """

    project: str
    method: str
    models: tuple[ModelCard, ...]
    scores: Scores
    outcomes: tuple[VerdictOutcome, ...]
    weight: WeightTable
    rates: ErrorRates
    condition: Condition = Condition()
    left_out: str | None = None
    unguarded: tuple[VerdictOutcome, ...] = ()

    def side(self, *, derived: bool) -> Scores:
        """Return the scores of one side."""
        inside = np.array([card.derived is derived for card in self.models])
        return np.asarray(self.scores[inside], dtype=np.float64)

    def log10_lrs(self) -> tuple[Scores, Scores]:
        """Return the log10 likelihood ratios of derived and of independent models."""
        return self.weight.weigh(self.side(derived=True)), self.weight.weigh(self.side(derived=False))

    def share(self, outcome: VerdictOutcome, *, derived: bool) -> float:
        """Return the share of one side that got this verdict."""
        hits = [one is outcome for one, card in zip(self.outcomes, self.models, strict=True) if card.derived is derived]
        return float(np.mean(hits))


def evaluate_project(
    project: Project,
    methods: Sequence[str],
    conditions: Sequence[Condition] = (USUAL,),
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[TestScores]:
    """Train what the zoo lacks, fit what bundles lack, and score the test split with each method.

    Bundles are kept beside the project, in ``bundles/``, and used again.

    Args:
        project: the owner's project.
        methods: names of methods.
        conditions: under each of which test models are scored.
        jobs: worker processes for the zoo; all cores by default.
        progress: told of every model trained.

    Raises:
        ConfigurationError: a view is of classes, and the output has none.
        DataError: the zoo's test split is too small; the preset "quick" has none.
    """
    check_conditions(conditions, project.task)
    workshop, zoo = open_evaluation(project, jobs=jobs, progress=progress)
    return [
        score_test_split(workshop, zoo, keep_bundle(workshop, zoo, method, condition), condition)
        for condition in conditions
        for method in methods
    ]


def open_evaluation(
    project: Project, *, jobs: int | None = None, progress: Progress = silent
) -> tuple[Workshop, SurrogateZoo]:
    """Return the project's workshop and zoo, trained where it lacks models, with enough test models.

    Raises:
        DataError: the zoo's test split is too small.
    """
    zoo = build_zoo(project, jobs=jobs, progress=progress)
    for side in (True, False):
        if len(zoo.select(Split.TEST, derived=side)) < MINIMUM_MODELS:
            raise DataError(
                f"the zoo of {project.path} has fewer than {MINIMUM_MODELS} useful test models of a side: "
                'set preset = "standard" below [zoo]'
            )
    return open_workshop(project), zoo


def keep_bundle(
    workshop: Workshop, zoo: SurrogateZoo, method: str, condition: Condition = USUAL, without: str = ""
) -> FingerprintBundle:
    """Return the bundle of a method, fitted unless it stands beside the project.

    Args:
        workshop: the owner's.
        zoo: the surrogates to fit and calibrate with.
        method: the method's name.
        condition: whose number of queries the fingerprint has.
        without: what was left out of the zoo, for the bundle's name; its making is known by the zoo's content.
    """
    parts = [method, "" if condition.queries is None else f"{condition.queries}", without and f"without-{without}"]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, parts)))
    path = workshop.project.folder / "bundles" / f"{name}.bundle"
    return fit_bundle(workshop, zoo, path, method, queries=condition.queries)[0]


def score_test_split(
    workshop: Workshop,
    zoo: SurrogateZoo,
    bundle: FingerprintBundle,
    condition: Condition = USUAL,
    left_out: str | None = None,
) -> TestScores:
    """Score and judge the test models as an auditor would, given what the condition shows of their answers."""
    surrogates = zoo.select(Split.TEST, derived=True) + zoo.select(Split.TEST, derived=False)
    wire, space, settings = condition.wire, bundle.task.output, workshop.project.settings
    inputs = through(wire, bundle.task.domain, bundle.inputs) if wire in WIRES else bundle.inputs
    answers = features_of_all(models_of(workshop, surrogates), inputs, space)
    if wire in NOISES:
        answers = with_noise(answers, NOISES[wire], space, settings.seed + 1)
    view = VIEWS[condition.view]
    # Other noise than the calibration's.
    noisy = replace(view, seed=settings.seed + 2)
    shown = noisy.apply(Features(answers, np.ones(answers.shape, dtype=np.bool_)), space)
    scores = bundle.verifier.scores(shown.values, shown.mask)
    rule = Rule.through(bundle, view)
    judgements = [rule.judge(score) for score in scores.tolist()]
    outcomes = tuple(guard(one, rule.held_out).outcome for one in judgements)
    unguarded = tuple(one.outcome for one in judgements)
    name = f"{settings.name} {settings.seed}"
    cards = tuple(one.card for one in surrogates)
    return TestScores(
        name, bundle.method, cards, scores, outcomes, rule.weight, bundle.rates, condition, left_out, unguarded
    )


COLUMNS: dict[str, Callable[[TestScores], float]] = {
    "AUC": lambda one: metrics.roc_auc(one.side(derived=True), one.side(derived=False)),
    "ARUC": lambda one: metrics.aruc(one.side(derived=True), one.side(derived=False)),
    "TPR@1%": lambda one: metrics.tpr_at_fpr(one.side(derived=True), one.side(derived=False), 0.01),
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
        means = {name: metrics.mean_interval(np.array([row.figures[name] for row in own])) for name in columns}
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
    # Twins are all made from held-out data.
    data = "" if recipe != card.recipe else f", {card.data}"
    return f"ind.: {recipe}, {architecture}{data}"


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
