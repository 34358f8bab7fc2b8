"""From a trained zoo to a bundle: choose the starts, optimise, calibrate on held-out lineages, seal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from metav_audit.bundle import MANIFEST, Calibration, FingerprintBundle, MetaVerifier, check_place
from metav_audit.errors import BundleError, DataError
from metav_audit.fingerprint.making import Making, is_scarce, must_be_picked
from metav_audit.fingerprint.methods.base import Materials
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.natural import choose_natural
from metav_audit.fingerprint.proof import compare_with_zoo, prove_training
from metav_audit.fingerprint.readers import with_readers
from metav_audit.fingerprint.requests import Queries, choose_queries
from metav_audit.fingerprint.weight import fit_table
from metav_audit.progress import Progress, silent
from metav_audit.task import Features, Inputs
from metav_audit.verdict import (
    Judgement,
    Rule,
    VerdictOutcome,
    calibration_doubts,
    scores_in_full,
    stranger_in,
    too_little_of_its_own,
)
from metav_audit.zoo.ancestor import load_ancestor, whole_ancestor
from metav_audit.zoo.build import load_model
from metav_audit.zoo.learners import fit_learners
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.siblings import load_siblings
from metav_audit.zoo.surrogates import Surrogate, SurrogateZoo


def fit_bundle(making: Making, path: Path, progress: Progress = silent) -> tuple[FingerprintBundle, bool]:
    """Fit a bundle and save it, unless ``path`` already holds the bundle of the same making.

    Returns:
        The bundle, and whether it was fitted now.

    Raises:
        ConfigurationError: ``path`` cannot be written.
        DataError: the zoo lacks a side in a split.
    """
    check_place(path)
    standing = standing_bundle(path, making)
    if standing is not None:
        return standing, False
    bundle = make_bundle(making, progress)
    bundle.save(path)
    return bundle, True


def standing_bundle(path: Path, making: Making) -> FingerprintBundle | None:
    """Return the bundle at ``path`` if there is a whole one of this making."""
    if not (path / MANIFEST).exists():
        return None
    try:
        standing = FingerprintBundle.load(path)
    except BundleError:
        return None
    return standing if standing.provenance.get("making_sha256") == making.address else None


def make_bundle(making: Making, progress: Progress = silent) -> FingerprintBundle:
    """Optimise fingerprint and verifier on the fit split and calibrate on the calibration split.

    Raises:
        DataError: the zoo lacks a side in a split; or the target is a stranger among its siblings.
    """
    torch.set_num_threads(1)
    proven: dict[str, Any] = {}
    siblings: list[nn.Module] = []
    if making.method.uses_siblings:
        siblings = load_siblings(making.workshop)
        proven = {"training": prove_training(making.workshop, siblings)}
    elif (beside := compare_with_zoo(making.workshop, making.zoo)) is not None:
        proven = {"stranger": beside}
    queries = None
    if making.requests is not None:
        models = [making.workshop.target.network, *siblings]
        queries = choose_queries(making.requests, models, making.workshop.target.task, making.queries, making.seed)
        proven |= making.requests.limit
        proven["log"] = json.loads(json.dumps(queries.asked.to_json(), sort_keys=True))
    inputs, verifier = _optimise(making, siblings, queries, progress)
    return seal_bundle(making, inputs, verifier, proven, partial(_read, making, queries, siblings))


def seal_bundle(
    making: Making,
    inputs: Inputs,
    verifier: MetaVerifier,
    proven: Mapping[str, Any] = MappingProxyType({}),
    more: Callable[[Calibration], Calibration] = lambda calibration: calibration,
) -> FingerprintBundle:
    """Calibrate fingerprint and verifier on the calibration split, and put all together with what was proven."""
    target, project = making.workshop.target, making.workshop.project
    tuned_from, ancestor = load_ancestor(making.workshop), whole_ancestor(making.workshop)
    named = {} if tuned_from is None else {"ancestor": tuned_from.sha256}
    held_out = _of(making.zoo, Split.CALIBRATION, derived=True) + _of(making.zoo, Split.CALIBRATION, derived=False)
    # Those that can be asked anything stand first: natural inputs and their near-duplicates are asked of them alone.
    held_out = tuple(sorted(held_out, key=lambda one: one.plan.answers_only))
    askable = sum(not one.plan.answers_only for one in held_out)
    models = models_of(making.workshop, held_out)
    answers = features_of_all(models, inputs, target.task.output)
    calibration = more(Calibration(answers, tuple(surrogate.card for surrogate in held_out)))
    return FingerprintBundle(
        name=project.settings.name,
        method=making.method.name,
        task=target.task,
        inputs=inputs,
        reference=features_of_all([target.network], inputs, target.task.output)[0],
        verifier=verifier,
        calibration=calibration,
        weight=fit_table(scores_in_full(verifier, calibration)),
        rates=project.rates,
        provenance={**making.provenance, **named, **proven},
        natural=choose_natural(making.workshop, models[:askable], inputs, making.seed),
        ancestor=None if ancestor is None else features_of_all([ancestor], inputs, target.task.output)[0],
    )


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What a bundle's verdict says of models whose origin is known.

    Attributes:
        target: the judgement on the target itself.
        matched: the share of derived calibration models called a match, each judged by the other lineages.
        cleared: the share of independent calibration models called no match, each judged by the other lineages.
        knows_own_architecture: whether independents of the target's own architecture are among them; without them no
            audit ends in a match.
        stranger: in what the target is a stranger among them, where it is and has no siblings: then none does, either.
        doubts: why the calibration's models are no models of the task, each a sentence; with any no audit ends in a
            verdict.
    """

    target: Judgement
    matched: float
    cleared: float
    knows_own_architecture: bool
    stranger: str | None
    doubts: tuple[str, ...]


def check_itself(bundle: FingerprintBundle) -> SelfCheck:
    """Judge the target and, leaving each out in turn, the calibration's lineages."""
    rule = Rule.through(bundle)
    target = rule.conclude(rule.score(Features(bundle.reference, np.ones(bundle.reference.shape, dtype=np.bool_))))
    matched = _share(rule, VerdictOutcome.MATCH, derived=True)
    cleared = _share(rule, VerdictOutcome.NO_MATCH, derived=False)
    known, doubts = rule.held_out.knows_own_architecture, calibration_doubts(bundle)
    own = too_little_of_its_own(bundle)
    doubts += () if own is None else (own,)
    return SelfCheck(target, matched, cleared, known, stranger_in(bundle), doubts)


def _share(rule: Rule, wanted: VerdictOutcome, *, derived: bool) -> float:
    """Return the share of one side that gets the ``wanted`` verdict, each judged by the other lineages."""
    held_out = rule.held_out
    hits = [
        rule.without(card.lineage).conclude(scored).outcome is wanted
        for card, scored in zip(held_out.models, held_out.scored, strict=True)
        if card.derived is derived
    ]
    return float(np.mean(hits))


def models_of(workshop: Workshop, surrogates: tuple[Surrogate, ...]) -> list[nn.Module]:
    """Load surrogates' models, frozen."""
    return [load_model(workshop, surrogate.plan) for surrogate in surrogates]


def choose_starts(workshop: Workshop, seed: int, queries: int) -> Inputs:
    """Draw the queries' starts from the validation data, which no model was trained on; noise fills up."""
    domain, pool = workshop.target.task.domain, workshop.data.validation.inputs
    rng = np.random.default_rng(seed)
    chosen = pool[rng.permutation(len(pool))[:queries]]
    noise = domain.sample(queries - len(chosen), rng)
    return domain.project(np.concatenate([chosen, noise]))


def _optimise(
    making: Making, siblings: Sequence[nn.Module], queries: Queries | None, progress: Progress
) -> tuple[Inputs, MetaVerifier]:
    workshop, zoo, method = making.workshop, making.zoo, making.method
    target = workshop.target
    used = [_of(zoo, Split.FIT, derived=side) if method.uses_zoo else () for side in (True, False)]
    sides = [models_of(workshop, each) for each in used]
    kin = [one.plan.of_ancestor for one in used[1]] if load_ancestor(workshop) is not None else ()
    given = Materials(
        zoo=Zoo(target.network, sides[0], sides[1], target.task, is_scarce(zoo)),
        starts=choose_starts(workshop, making.seed, making.queries) if queries is None else queries.inputs,
        data=workshop.data,
        siblings=siblings,
        learners=fit_learners(workshop.data, target.task.output, making.seed) if siblings else (),
        seed=making.seed,
        progress=progress,
        owners=() if queries is None else queries.owners,
        kin=kin,
        picked=must_be_picked(workshop),
    )
    return method.optimise(given, method.settings(workshop))


def _read(
    making: Making, queries: Queries | None, siblings: Sequence[nn.Module], calibration: Calibration
) -> Calibration:
    """Add readers of the request log, where there is one, to a calibration."""
    if queries is None:
        return calibration
    target, data = making.workshop.target, making.workshop.data
    models = [target.network, *siblings]
    return with_readers(
        calibration, models, queries.looked_at, queries.inputs, data.validation, target.task.output, making.seed
    )


def _of(zoo: SurrogateZoo, split: Split, *, derived: bool) -> tuple[Surrogate, ...]:
    found = zoo.select(split, derived=derived)
    if not found:
        side = "derived" if derived else "independent"
        raise DataError(f"the zoo has no useful {side} model in its {split} split: train more, or for longer")
    return found
