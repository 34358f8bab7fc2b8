"""Measure methods on the test split: models whose lineages neither the fit nor the calibration has seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import DataError
from metav_audit.evaluation.conditions import USUAL, VIEWS, Condition, check_conditions
from metav_audit.evaluation.scores import TestScores
from metav_audit.evaluation.wire import NOISES, WIRES, through
from metav_audit.fingerprint.fit import fit_bundle, models_of
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.progress import Progress, silent
from metav_audit.task import Features, with_noise
from metav_audit.verdict import Rule
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Project, Workshop, open_workshop
from metav_audit.zoo.surrogates import SurrogateZoo

MINIMUM_MODELS = 5
"""Below this number of test models on either side no figure is given."""


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
    return fit_bundle(Making.of(workshop, zoo, method, queries=condition.queries), path)[0]


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
    rule = Rule.through(bundle, view)
    scored = rule.score_all(shown)
    scores = np.array([one.score for one in scored])
    outcomes = tuple(rule.conclude(one).outcome for one in scored)
    unguarded = tuple(rule.judge(one).outcome for one in scored)
    name = f"{settings.name} {settings.seed}"
    cards = tuple(one.card for one in surrogates)
    return TestScores(
        name, bundle.method, cards, scores, outcomes, rule.weight, bundle.rates, condition, left_out, unguarded
    )
