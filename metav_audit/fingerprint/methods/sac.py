"""How outputs correlate over the queries (SAC: Guan, Liang and He, NeurIPS 2022)."""

from __future__ import annotations

from metav_audit.bundle import MetaVerifier
from metav_audit.fingerprint.methods.base import Materials, Method, no_settings
from metav_audit.fingerprint.methods.natural import choose_mistakes, compare_correlations
from metav_audit.task import Inputs


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    queries = choose_mistakes(given.zoo.target, given.zoo.task, given.data, len(given.starts))
    return compare_correlations(given.zoo.target, given.zoo.task, queries)


METHOD = Method(
    name="sac",
    summary="how outputs correlate over the queries (SAC, NeurIPS 2022)",
    settings=no_settings,
    optimise=_optimise,
    uses_zoo=False,
    by_gradients=False,
)
