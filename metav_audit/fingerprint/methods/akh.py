"""Labels on the target's mistakes: query what the target gets wrong (QuRD, AAAI 2025)."""

from __future__ import annotations

from metav_audit.bundle import MetaVerifier
from metav_audit.fingerprint.methods.base import Materials, Method, no_settings
from metav_audit.fingerprint.methods.natural import choose_mistakes, compare_labels
from metav_audit.task import Inputs


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    queries = choose_mistakes(given.zoo.target, given.zoo.task, given.data, len(given.starts))
    return compare_labels(given.zoo.target, given.zoo.task, queries)


METHOD = Method(
    name="akh",
    summary="labels on inputs that the target gets wrong (QuRD, AAAI 2025)",
    settings=no_settings,
    optimise=_optimise,
    uses_zoo=False,
    by_gradients=False,
)
