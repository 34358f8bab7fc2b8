"""Inputs that accounts of the owner's API sent, and the suspect's rank among reruns of the target's training on them.

The inputs are chosen before, from the sealed request log; see ``metav_audit.fingerprint.requests``. The verifier is
that of ``metav_audit.bundle.forms.accounts``. Nothing here knows which of the models is the target. A log belongs to
it, so it stands in no comparison of methods.
"""

from __future__ import annotations

import numpy as np

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import ANY_OUTPUT, Materials, Method, no_settings
from metav_audit.fingerprint.methods.siblings import sibling_tensors
from metav_audit.task import Inputs


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    tensors = sibling_tensors(given, given.starts)
    owners = np.array(given.owners, dtype=np.float32)
    return given.starts, MetaVerifier(VerifierKind.ACCOUNTS, {**tensors, "accounts": owners})


METHOD = Method(
    name="accounts",
    summary="the suspect's rank among reruns of the target's training, by inputs of the owner's request log",
    settings=no_settings,
    optimise=_optimise,
    queries=64,
    outputs=ANY_OUTPUT,
    uses_siblings=True,
    by_gradients=False,
)
