"""The owner's bundle and two suspects, trained once by the demo's own steps and kept below ``.peers/``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from metav_audit.bundle import FingerprintBundle
from metav_audit.demo.digits import write_project
from metav_audit.demo.suspects import SUSPECTS, train_suspects, weights_path
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.progress import Progress, silent
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.plan import TARGET
from metav_audit.zoo.project import load_project, open_workshop
from tests.peers.environments import PEERS
from tests.peers.served.network import Network

SEED = 0
TRUTHS = {suspect.name: suspect.truth for suspect in SUSPECTS if suspect.plan.architecture == TARGET}
"""The right outcome for each suspect that ``served/network.py`` can compute: those of the target's architecture."""


@dataclass(frozen=True)
class Digits:
    """What every audit here needs.

    Attributes:
        bundle: the owner's, as loaded.
        path: where it lies.
        weights: the folder of the suspects' parameters, NAME.npz and NAME.safetensors.
    """

    bundle: FingerprintBundle
    path: Path
    weights: Path

    def network(self, name: str) -> Network:
        return Network(self.npz(name))

    def npz(self, name: str) -> Path:
        return self.weights / f"{name}.npz"


def make_digits(progress: Callable[[str], Progress] = lambda what: silent) -> Digits:
    """Train target, zoo, bundle and suspects, or find them standing, and write the suspects for numpy."""
    folder = PEERS / "digits"
    project = load_project(write_project(folder / "owner", SEED, "quick"))
    workshop = open_workshop(project)
    zoo = build_zoo(project, progress=progress("models trained"))
    bundle, _ = fit_bundle(Making.of(workshop, zoo), folder / "digits.bundle", progress("steps"))
    train_suspects(workshop, folder / "suspects", progress("suspects trained"))
    for suspect in SUSPECTS:
        if suspect.name in TRUTHS:
            source = weights_path(folder / "suspects", suspect)
            np.savez(source.with_suffix(".npz"), **safetensors.numpy.load_file(source))
    return Digits(bundle, folder / "digits.bundle", folder / "suspects")
