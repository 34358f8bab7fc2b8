"""The bundle: where the owner's side and the auditor's side meet."""

from __future__ import annotations

from metav_audit.bundle.canaries import CANARIES, ROUNDS, canary_inputs
from metav_audit.bundle.cards import OWN_ARCHITECTURE, Calibration, ErrorRates, ModelCard
from metav_audit.bundle.coins import CoinPlan, CoinQuery
from metav_audit.bundle.folder import COMMITMENT, MANIFEST, FingerprintBundle, check_place
from metav_audit.bundle.forms.committee import COARSE_FLOOR, LEAST_SHARPNESS, MOST_SHARPENED
from metav_audit.bundle.questions import Questions
from metav_audit.bundle.target_bits import (
    FITPRINT,
    OwnerMark,
    TargetBits,
    check_target_bits,
    is_targeted,
    mark_of,
    nonce_of,
    target_bits,
)
from metav_audit.bundle.verifier import VERIFIER_LIMITS, MetaVerifier, VerifierKind

__all__ = [
    "CANARIES",
    "COARSE_FLOOR",
    "COMMITMENT",
    "FITPRINT",
    "LEAST_SHARPNESS",
    "MANIFEST",
    "MOST_SHARPENED",
    "OWN_ARCHITECTURE",
    "ROUNDS",
    "VERIFIER_LIMITS",
    "Calibration",
    "CoinPlan",
    "CoinQuery",
    "ErrorRates",
    "FingerprintBundle",
    "MetaVerifier",
    "ModelCard",
    "OwnerMark",
    "Questions",
    "TargetBits",
    "VerifierKind",
    "canary_inputs",
    "check_place",
    "check_target_bits",
    "is_targeted",
    "mark_of",
    "nonce_of",
    "target_bits",
]
