"""Labels on inputs drawn at random: what any choice of queries has to beat."""

from __future__ import annotations

from metav_audit.bundle import MetaVerifier
from metav_audit.fingerprint.methods.base import Materials, Method, no_settings
from metav_audit.fingerprint.methods.natural import compare_labels
from metav_audit.task import Inputs


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    return compare_labels(given.zoo.target, given.zoo.task, given.starts)


METHOD = Method(
    name="random",
    summary="labels on inputs drawn at random",
    settings=no_settings,
    optimise=_optimise,
    uses_zoo=False,
    by_gradients=False,
)
