"""RemovalNet: an attack on fingerprints."""

from __future__ import annotations

from torch import nn

from metav_audit.zoo.recipes.base import LABELLED, Bench, Draw, Recipe
from metav_audit.zoo.removal import remove_fingerprint


def _make(bench: Bench) -> nn.Module:
    return remove_fingerprint(bench.copy(), bench.parent, bench.pairs[0], bench.settings, bench.chance)


RECIPE = Recipe(
    name="removal",
    family="removal",
    make=_make,
    draws=(Draw("steps", 300, 800), Draw("rate", 0.005, 0.02), Draw("share", 0.6, 1.0)),
    suits=LABELLED,
)
