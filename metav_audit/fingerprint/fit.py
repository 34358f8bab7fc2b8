"""From a trained zoo to a bundle: choose the starts, optimise, calibrate on held-out lineages, seal."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from metav_audit.bundle import FITPRINT, MANIFEST, Calibration, FingerprintBundle, MetaVerifier, check_place
from metav_audit.errors import BundleError, DataError
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.registry import Materials, default_method, find_method, joint_settings
from metav_audit.fingerprint.weight import LIR_VERSION, fit_table
from metav_audit.progress import Progress, silent
from metav_audit.task import Features, Inputs
from metav_audit.verdict import Judgement, Rule, VerdictOutcome, scores_in_full
from metav_audit.version import __version__
from metav_audit.zoo.build import load_model
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.store import content_address
from metav_audit.zoo.surrogates import Surrogate, SurrogateZoo

FIT_VERSION = 3
"""Part of what a bundle remembers of its making: raise it when the same project would give another bundle."""


def fit_bundle(
    workshop: Workshop,
    zoo: SurrogateZoo,
    path: Path,
    method: str | None = None,
    progress: Progress = silent,
    *,
    seed: int | None = None,
    queries: int | None = None,
) -> tuple[FingerprintBundle, bool]:
    """Fit a bundle and save it, unless ``path`` already holds the bundle of the same making.

    The arguments are those of ``make_bundle``.

    Returns:
        The bundle, and whether it was fitted now.

    Raises:
        ConfigurationError: the method is unknown, or ``path`` cannot be written.
        DataError: the zoo lacks a side in a split.
    """
    method = method or default_method(workshop.target.task.output.kind, scarce=is_scarce(zoo))
    making = making_of(workshop, zoo, method, workshop.project.settings.seed if seed is None else seed, queries)
    check_place(path)
    standing = standing_bundle(path, making)
    if standing is not None:
        return standing, False
    bundle = make_bundle(workshop, zoo, method, progress, seed=seed, queries=queries)
    bundle.save(path)
    return bundle, True


def standing_bundle(path: Path, making: str) -> FingerprintBundle | None:
    """Return the bundle at ``path`` if there is a whole one of this making; see ``making_of``."""
    if not (path / MANIFEST).exists():
        return None
    try:
        standing = FingerprintBundle.load(path)
    except BundleError:
        return None
    return standing if standing.provenance.get("making_sha256") == making else None


def make_bundle(
    workshop: Workshop,
    zoo: SurrogateZoo,
    method: str | None = None,
    progress: Progress = silent,
    *,
    seed: int | None = None,
    queries: int | None = None,
) -> FingerprintBundle:
    """Optimise fingerprint and verifier on the fit split and calibrate on the calibration split.

    Args:
        workshop: the owner's model and data.
        zoo: the trained surrogates.
        method: the name of one in ``methods.METHODS``; the default for the task if None.
        progress: told of every step.
        seed: of the optimisation; the project's if None.
        queries: how many the fingerprint has; the project's number if None.
    """
    torch.set_num_threads(1)
    method = method or default_method(workshop.target.task.output.kind, scarce=is_scarce(zoo))
    seed = workshop.project.settings.seed if seed is None else seed
    inputs, verifier = _optimise(workshop, zoo, method, progress, seed, queries)
    return seal_bundle(workshop, zoo, method, seed, inputs, verifier, queries)


def seal_bundle(
    workshop: Workshop,
    zoo: SurrogateZoo,
    method: str,
    seed: int,
    inputs: Inputs,
    verifier: MetaVerifier,
    queries: int | None = None,
) -> FingerprintBundle:
    """Calibrate fingerprint and verifier on the calibration split, and put all together."""
    settings = workshop.project.settings
    calibration = _calibrate(workshop, zoo, inputs)
    return FingerprintBundle(
        name=settings.name,
        method=method,
        task=workshop.target.task,
        inputs=inputs,
        reference=features_of_all([workshop.target.network], inputs, workshop.target.task.output)[0],
        verifier=verifier,
        calibration=calibration,
        weight=fit_table(scores_in_full(verifier, calibration)),
        rates=workshop.project.rates,
        provenance=_provenance(workshop, zoo, method, seed, queries),
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
    """

    target: Judgement
    matched: float
    cleared: float
    knows_own_architecture: bool


def check_itself(bundle: FingerprintBundle) -> SelfCheck:
    """Judge the target and, leaving each out in turn, the calibration's lineages."""
    rule = Rule.through(bundle)
    target = rule.judge(rule.score(Features(bundle.reference, np.ones(bundle.reference.shape, dtype=np.bool_))))
    matched = _share(rule, VerdictOutcome.MATCH, derived=True)
    cleared = _share(rule, VerdictOutcome.NO_MATCH, derived=False)
    return SelfCheck(target, matched, cleared, rule.held_out.knows_own_architecture)


def _share(rule: Rule, wanted: VerdictOutcome, *, derived: bool) -> float:
    """Return the share of one side that gets the ``wanted`` verdict, each judged by the other lineages."""
    held_out = rule.held_out
    hits = [
        rule.without(card.lineage).judge(score).outcome is wanted
        for card, score in zip(held_out.models, held_out.scores.tolist(), strict=True)
        if card.derived is derived
    ]
    return float(np.mean(hits))


def models_of(workshop: Workshop, surrogates: tuple[Surrogate, ...]) -> list[nn.Module]:
    """Load surrogates' models, frozen."""
    return [load_model(workshop, surrogate.plan) for surrogate in surrogates]


def making_of(workshop: Workshop, zoo: SurrogateZoo, method: str, seed: int, queries: int | None = None) -> str:
    """Return the hash of everything that decides a bundle; the zoo's own tells what was filtered out of it."""
    own = find_method(method, workshop.target.task.output.kind)
    settings = workshop.project.settings
    fingerprint = settings.fingerprint.model_dump(exclude={"identity", "nonce", "bits"})
    parts = {
        "zoo": zoo.sha256,
        "method": method,
        "name": settings.name,
        "seed": seed,
        "fingerprint": fingerprint if queries is None else {**fingerprint, "queries": queries},
        "joint": asdict(joint_settings(workshop)),
        "rates": settings.rates.model_dump(),
        "version": FIT_VERSION,
        "torch": torch.__version__,
    }
    if method not in ("metav", "ipguard"):
        parts["spelling" if method == FITPRINT else "settings"] = own.parts(workshop)
    return content_address(parts)


def is_scarce(zoo: SurrogateZoo) -> bool:
    """Say whether the fit split has fewer than ``FEW_LINEAGES`` independent lineages."""
    return len({one.plan.lineage for one in zoo.select(Split.FIT, derived=False)}) < FEW_LINEAGES


FEW_LINEAGES = 4
"""With fewer of them, what independent models have in common cannot be told from what one of them is."""


def choose_starts(workshop: Workshop, seed: int, queries: int | None = None) -> Inputs:
    """Draw the queries' starts from the validation data, which no model was trained on; noise fills up."""
    count = workshop.project.settings.fingerprint.queries if queries is None else queries
    domain, pool = workshop.target.task.domain, workshop.data.validation.inputs
    rng = np.random.default_rng(seed)
    chosen = pool[rng.permutation(len(pool))[:count]]
    noise = domain.sample(count - len(chosen), rng)
    return domain.project(np.concatenate([chosen, noise]))


def _optimise(
    workshop: Workshop, zoo: SurrogateZoo, method: str, progress: Progress, seed: int, queries: int | None
) -> tuple[Inputs, MetaVerifier]:
    target = workshop.target
    own = find_method(method, target.task.output.kind)
    sides = [models_of(workshop, _of(zoo, Split.FIT, derived=side)) if own.uses_zoo else [] for side in (True, False)]
    given = Materials(
        zoo=Zoo(target.network, sides[0], sides[1], target.task, is_scarce(zoo)),
        starts=choose_starts(workshop, seed, queries),
        data=workshop.data,
        seed=seed,
        progress=progress,
    )
    return own.optimise(given, own.settings(workshop))


def _calibrate(workshop: Workshop, zoo: SurrogateZoo, inputs: Inputs) -> Calibration:
    held_out = _of(zoo, Split.CALIBRATION, derived=True) + _of(zoo, Split.CALIBRATION, derived=False)
    answers = features_of_all(models_of(workshop, held_out), inputs, workshop.target.task.output)
    return Calibration(answers, tuple(surrogate.card for surrogate in held_out))


def _of(zoo: SurrogateZoo, split: Split, *, derived: bool) -> tuple[Surrogate, ...]:
    found = zoo.select(split, derived=derived)
    if not found:
        side = "derived" if derived else "independent"
        raise DataError(f"the zoo has no useful {side} model in its {split} split: train more, or for longer")
    return found


def _provenance(workshop: Workshop, zoo: SurrogateZoo, method: str, seed: int, queries: int | None) -> dict[str, Any]:
    mark = asdict(workshop.project.owner_mark) if method == FITPRINT else {}
    return {
        **mark,
        "target_sha256": zoo.target_sha256,
        "zoo_sha256": zoo.sha256,
        "zoo_left_out": zoo.left_out,
        "making_sha256": making_of(workshop, zoo, method, seed, queries),
        "seed": seed,
        "versions": {
            "metav_audit": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "lir": LIR_VERSION,
        },
        "platform": f"{platform.system()} {platform.machine()}",
    }
