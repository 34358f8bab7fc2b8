"""What shows that siblings were trained as the target was; a bundle's provenance keeps it under ``training``.

Without siblings it says under ``stranger`` whether the zoo's independents of the target's own architecture were.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import BundleError
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.zoo.ancestor import load_ancestor
from metav_audit.zoo.build import load_model
from metav_audit.zoo.plan import TARGET, Split
from metav_audit.zoo.program import describe_program
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.replay import Replay, check_replayed, compare_answers, replay_target, run_target_seed, seed_of
from metav_audit.zoo.strangers import check_no_stranger, find_strangeness
from metav_audit.zoo.surrogates import SurrogateZoo

LEAST_BESIDE = 19
"""Of fewer models none can be a stranger at 5 %."""

FAR = 3.5
"""Standard deviations that a target's farthest figure may lie off: 2.4 at most on six targets whose rivals are not
accused, 4.1 at least on six of other tasks, whose rivals are."""

CLAIMED = "claimed"
"""The status of a program whose target was not replayed."""


def prove_training(workshop: Workshop, siblings: Sequence[nn.Module]) -> dict[str, Any]:
    """Hold the target against its siblings, and run its program again with its own seed where that is known.

    Returns:
        In JSON types: the program, what it is made of, the siblings' seeds, how strange the target is among them, and
        what the replay found.

    Raises:
        DataError: the target is a stranger among its siblings, or its own seed does not give it again.
    """
    found = check_no_stranger(workshop, siblings)
    training, seeds = workshop.project.training, workshop.project.sibling_seeds
    replay = None
    if training is not None and training.seed is not None:
        replay = replay_target(workshop, siblings)
        check_replayed(replay)
    told = {
        **describe_program(workshop),
        "seeds": list(seeds),
        "stranger_p_value": found.p_value,
        "status": CLAIMED if replay is None else replay.status.value,
        "replay": None if replay is None else replayed(replay),
    }
    # In the order in which it is read back from a bundle on disk.
    return dict(json.loads(json.dumps(told, sort_keys=True)))


def compare_with_zoo(workshop: Workshop, zoo: SurrogateZoo) -> dict[str, Any] | None:
    """Hold the target against the independents of its own architecture that it is fitted and calibrated beside.

    Where it was tuned from an ancestor they are those that start from it.

    Returns:
        In JSON types: how many there are, the p-value of the target's rank, whether it is a stranger among them, and in
        what it differs most. None where they are too few to tell: fewer than ``LEAST_BESIDE``.
    """
    tuned = load_ancestor(workshop) is not None
    beside = [
        each.plan for each in zoo.surrogates
        if each.plan.from_scratch and each.plan.architecture == TARGET and each.plan.split is not Split.TEST
        and each.plan.of_ancestor is tuned and not each.plan.answers_only
    ]  # fmt: skip
    if len(beside) < LEAST_BESIDE:
        return None
    found = find_strangeness(workshop, [load_model(workshop, plan) for plan in beside])
    # Makers of many habits are no exchangeable reruns: one oddball among them hides how far the target lies off.
    is_stranger = found.is_stranger or abs(found.deviation) > FAR
    return {"models": len(beside), "p_value": found.p_value, "is_stranger": is_stranger, "differs": str(found)}


def replay_bundle(bundle: FingerprintBundle, workshop: Workshop) -> Replay:
    """Replay a bundle's target, and compare its answers to the fingerprint with those in the bundle.

    Raises:
        BundleError: the bundle has no siblings.
        ConfigurationError: the project names no training program, or no seed.
        DataError: the program fails.
    """
    if bundle.verifier.siblings is None:
        raise BundleError("the bundle was made without siblings: there is no training program to replay")
    run = run_target_seed(workshop)
    again = features_of_all([run], bundle.inputs, bundle.task.output)[0]
    return compare_answers(bundle.verifier.tensors["models"], again, seed_of(workshop), bundle.task.output)


def replayed(replay: Replay) -> dict[str, Any]:
    """Describe a replay in JSON types."""
    return {**asdict(replay), "status": replay.status.value}
