"""The drill played: rigged bundles and honest ones, round by round, and which check exposes which."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metav_audit.bundle import FingerprintBundle
from metav_audit.drill.rigging import (
    invent_calibration,
    label_rival_derived,
    leave_out,
    make_constant,
    retouch_calibration,
)
from metav_audit.drill.rounds import Check, Kind, Round
from metav_audit.drill.stage import Player, Stage, is_match, matches_of, open_stage
from metav_audit.drill.transferable import make_transferable
from metav_audit.errors import ConfigurationError, DataError, EvidenceError
from metav_audit.evidence import SigningKey, check_commitments, make_commitment, opened_register
from metav_audit.fingerprint.fit import fit_bundle, standing_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.rebuild import differences
from metav_audit.progress import Progress, silent
from metav_audit.verdict import Verdict, calibration_doubts
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.formats.opaque import has_gradients
from metav_audit.zoo.project import Project, open_workshop

FRESH_SEEDS = 3
"""Seeds that the accuser did not choose; a match has to stand under most of them."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill about to be played: who plays, and the bundles that other seeds give.

    Attributes:
        stage: the project's models and the bundle that is drilled.
        own: the bundle that the project makes.
        tried: bundles of the seeds that an accuser tries, by seed.
        fresh: bundles of seeds that the accuser did not choose.
        again: bundles of the honest rounds made once more, by seed.
        rivals: bundles with a rival labelled derived, by round.
    """

    stage: Stage
    own: FingerprintBundle
    tried: dict[int, FingerprintBundle]
    fresh: tuple[FingerprintBundle, ...]
    again: dict[int, FingerprintBundle]
    rivals: tuple[FingerprintBundle, ...]


def prepare_drill(
    project: Project,
    bundle: FingerprintBundle,
    *,
    rounds: int,
    seeds: int,
    work: Path,
    jobs: int | None = None,
    progress: Callable[[str], Progress] = lambda _: silent,
) -> Drill:
    """Fit all bundles that the drill needs; those that stand in ``work`` are used again.

    Args:
        project: the project of the bundle.
        bundle: what is drilled.
        rounds: rounds of each kind.
        seeds: seeds that an accuser tries in search of a lucky one.
        work: folder of the fitted bundles.
        jobs: worker processes; all cores by default.
        progress: given what is counted, returns a progress callback.

    Raises:
        ConfigurationError: the task is no classification, or the target gives no gradients.
        DataError: the zoo has no test models.
    """
    if not project.task.output.labelled:
        raise ConfigurationError(
            f"{project.path}: the drill rigs classifications alone, not a {project.task.output.kind}"
        )
    if not has_gradients(open_workshop(project).target.network):
        raise ConfigurationError(
            f"{project.path}: the drill's accusers move inputs along gradients, and a target of another library gives "
            "none"
        )
    torch.set_num_threads(1)
    zoo = build_zoo(project, jobs=jobs, progress=progress("zoo: models trained"))
    stage = open_stage(open_workshop(project), zoo, bundle)
    if not stage.roots or not stage.derived:
        raise DataError(f'{project.path}: the drill needs test models: set preset = "standard" below [zoo]')
    tried = [stage.seed + 1 + at for at in range(max(seeds, rounds - 1))]
    fresh = [tried[-1] + 1 + at if tried else stage.seed + 1 + at for at in range(FRESH_SEEDS)]
    honest = [stage.seed, *tried[: rounds - 1]]
    rivals = [(stage.roots[at % len(stage.roots)].lineage, stage.seed + at) for at in range(rounds)]
    tasks = [
        *(joblib.delayed(_fit)(project, bundle.method, seed, work / f"seed-{seed}") for seed in (*tried, *fresh)),
        *(joblib.delayed(_fit)(project, bundle.method, seed, work / f"again-{seed}") for seed in honest),
        *(joblib.delayed(_fit_rival)(project, lineage, seed, work) for lineage, seed in rivals),
    ]
    bundles = _carry_out(tasks, jobs, progress("drill: bundles fitted"))
    by_seed = dict(zip((*tried, *fresh), bundles, strict=False))
    again = dict(zip(honest, bundles[len(by_seed) :], strict=False))
    return Drill(
        stage,
        own=again[stage.seed],
        tried={seed: by_seed[seed] for seed in tried},
        fresh=tuple(by_seed[seed] for seed in fresh),
        again=again,
        rivals=tuple(bundles[len(by_seed) + len(again) :]),
    )


def play(drill: Drill, rounds: int) -> Iterator[Round]:
    """Play all kinds, round by round; a lucky seed is only there if one is found.

    The accuser gets the benefit of every doubt. Bundles that are rigged before any query could be committed to in time,
    so the commitment counts only against those that were chosen after the suspect had answered. A lucky seed is rebuilt
    from a project that names it, so its hash holds. Of two bundles that were committed to, the project's own and one
    that accuses, the latter is shown, which by turns was committed to last or first.
    """
    stage = drill.stage
    for number in range(rounds):
        suspect = stage.roots[number % len(stage.roots)]
        yield expose(drill, Kind.RIVAL, number, drill.rivals[number], suspect)
        yield expose(drill, Kind.CONSTANT, number, make_constant(stage), suspect)
        tune = (leave_out, retouch_calibration)[number % 2]
        yield expose(drill, Kind.TUNED, number, tune(stage, suspect), suspect)
        yield expose(drill, Kind.TRANSFERABLE, number, make_transferable(stage, stage.seed + number), suspect)
        yield expose(drill, Kind.INVENTED, number, invent_calibration(stage.bundle, stage.seed + number), suspect)
        yield expose(drill, Kind.TWICE, number, drill.rivals[number], suspect, missing=commit_twice(drill, number))
        yield _honest(drill, number)
    for number, (seed, suspect) in enumerate(lucky_seeds(drill, rounds)):
        yield expose(drill, Kind.LUCKY, number, drill.tried[seed], suspect, f"seed {seed}: ")


def lucky_seeds(drill: Drill, rounds: int) -> list[tuple[int, Player]]:
    """Return pairs of a seed and an innocent suspect that it accuses, as many different suspects as there are first.

    A suspect that most of the tried seeds accuse needs no luck: it is a false match of the method's own, which the
    promised rate covers and no other seed takes away.
    """
    stage = drill.stage
    found = {seed: matches_of(bundle, stage.independents) for seed, bundle in drill.tried.items()}
    by_suspect = [[seed for seed in found if found[seed][at]] for at in range(len(stage.independents))]
    by_suspect = [seeds if 2 * len(seeds) < len(found) else [] for seeds in by_suspect]
    deepest = max(map(len, by_suspect), default=0)
    pairs = [
        (seeds[depth], stage.independents[at])
        for depth in range(deepest)
        for at, seeds in enumerate(by_suspect)
        if depth < len(seeds)
    ]
    return pairs[:rounds]


def expose(
    drill: Drill,
    kind: Kind,
    number: int,
    bundle: FingerprintBundle,
    suspect: Player,
    found: str = "",
    missing: str | None = None,
) -> Round:
    """Show a rigged bundle to its suspect and put it to every check.

    Args:
        drill: whose checks.
        kind: how the bundle came about.
        number: the round's.
        bundle: what is shown.
        suspect: to whom.
        found: begins the detail.
        missing: which of the key's commitments are not here, if any.
    """
    decision = drill.stage.accuse(bundle, suspect)
    accuses = is_match(decision)
    failed = _failed_controls(bundle, decision.verdict)
    if kind is not Kind.LUCKY and differences(bundle, drill.own):
        failed.append(Check.REBUILD)
    if accuses and not _stands(drill, suspect):
        failed.append(Check.FRESH_SEEDS)
    chosen_late = kind in (Kind.TUNED, Kind.LUCKY) and bundle.sha256 != drill.stage.bundle.sha256
    if chosen_late or missing is not None:
        failed.append(Check.COMMITMENT)
    detail = found + (f"{missing}: " if missing else "") + _detail(decision.verdict)
    return Round(kind, number, suspect.name, accuses, tuple(failed), detail)


def commit_twice(drill: Drill, number: int) -> str | None:
    """Commit to the project's own bundle and to one that accuses, show the latter; say which commitment is missing."""
    with tempfile.TemporaryDirectory() as place:
        key, path = SigningKey(Ed25519PrivateKey.generate()), Path(place) / "register"
        shown = drill.rivals[number]
        for bundle in (shown, drill.stage.bundle) if number % 2 else (drill.stage.bundle, shown):
            with opened_register(path) as register:
                made = make_commitment(bundle, key, claimed_at=datetime.now(UTC), register=register)
            if bundle is shown:
                accusing = made
    try:
        check_commitments([accusing], key.public.key_id)
    except EvidenceError as error:
        return str(error)
    return None


def _honest(drill: Drill, number: int) -> Round:
    """Check an honest bundle: the one drilled first, then those of other seeds, each shown to a derived suspect."""
    stage = drill.stage
    seed = stage.seed + number
    bundle = drill.tried[seed] if number else stage.bundle
    suspect = stage.derived[number % len(stage.derived)]
    decision = stage.accuse(bundle, suspect)
    accuses, failed = is_match(decision), _failed_controls(bundle, decision.verdict)
    found = differences(bundle, drill.again[seed])
    if found:
        failed.append(Check.REBUILD)
    if accuses and not _stands(drill, suspect):
        failed.append(Check.FRESH_SEEDS)
    detail = "; ".join((_detail(decision.verdict), *found))
    return Round(Kind.HONEST, number, suspect.name, accuses, tuple(failed), detail)


def _stands(drill: Drill, suspect: Player) -> bool:
    """Say whether the suspect is a match under most of the seeds that the accuser did not choose."""
    hits = sum(matches_of(bundle, [suspect])[0] for bundle in drill.fresh)
    return 2 * hits > len(drill.fresh)


def _failed_controls(bundle: FingerprintBundle, verdict: Verdict) -> list[Check]:
    failed = []
    if verdict.sanity is not None and verdict.sanity.failures:
        failed.append(Check.SANITY)
    if calibration_doubts(bundle):
        failed.append(Check.MODELS)
    if verdict.controls is not None and verdict.controls.contradicts():
        failed.append(Check.CONTROLS)
    return failed


def _detail(verdict: Verdict) -> str:
    return f"{verdict.sanity}; {verdict.controls}" if verdict.sanity else "; ".join(verdict.reasons)


def _fit(project: Project, method: str, seed: int, path: Path) -> FingerprintBundle:
    """Fit one bundle in a worker process, unless it stands."""
    zoo = build_zoo(project, jobs=1)
    making = Making.of(open_workshop(project), zoo, method, seed=seed)
    return fit_bundle(making, path.with_name(f"{path.name}.bundle"))[0]


def _fit_rival(project: Project, lineage: str, seed: int, work: Path) -> FingerprintBundle:
    """Fit one bundle with a rival labelled derived in a worker process, unless it stands."""
    zoo, workshop = build_zoo(project, jobs=1), open_workshop(project)
    path = work / f"rival-{lineage}-{seed}.bundle"
    standing = standing_bundle(path, Making.of(workshop, zoo, "metav", seed=seed))
    if standing is not None:
        return standing
    bundle = label_rival_derived(workshop, zoo, lineage, seed)
    bundle.save(path)
    return bundle


def _carry_out(tasks: Sequence[Any], jobs: int | None, progress: Progress) -> list[FingerprintBundle]:
    workers = joblib.Parallel(n_jobs=jobs or -1, return_as="generator", batch_size=1)
    done = []
    progress(0, len(tasks))
    for bundle in workers(tasks):
        done.append(bundle)
        progress(len(done), len(tasks))
    return done
