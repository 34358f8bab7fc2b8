"""Inputs that are asked again and again beside the fingerprint."""

from __future__ import annotations

import numpy as np

from metav_audit.bundle.questions import Questions
from metav_audit.task import Inputs

CANARIES = 2
"""Inputs that are asked again and again beside the fingerprint."""


ROUNDS = 8
"""Times that the canaries are asked in an undisturbed audit: twice in a row at first, five times between, at the end.

Two models behind a balancer that throws dice for each request go unseen if each canary meets one model alone: both do
so in one of 2 ** (2 * (8 - 1)) = 16,384 audits.
"""


def canary_inputs(bundle: Questions) -> Inputs:
    """Return the canaries, float32 of shape (CANARIES, *domain.shape): noise that follows from the bundle's hash."""
    return bundle.task.domain.sample(CANARIES, np.random.default_rng(int(bundle.sha256[:15], 16)))
