"""The bundle: where the owner's side and the auditor's side meet."""

from __future__ import annotations

from metav_audit.bundle.cards import OWN_ARCHITECTURE, Calibration, ErrorRates, ModelCard
from metav_audit.bundle.coins import CoinPlan, CoinQuery
from metav_audit.bundle.folder import COMMITMENT, REBUILD, REPLAY, FingerprintBundle
from metav_audit.bundle.forms.committee import COARSE_FLOOR, LEAST_SHARPNESS, MOST_SHARPENED
from metav_audit.bundle.natural import SOURCES, NaturalInputs
from metav_audit.bundle.place import MANIFEST, check_place
from metav_audit.bundle.questions import Questions
from metav_audit.bundle.schedule import (
    CLOSING,
    LEAST_REQUESTS,
    OPENING,
    PAIRS,
    REPEATED,
    TIMES,
    Schedule,
    asked_inputs,
    planned_places,
    usual_looks,
)
from metav_audit.bundle.served import CHANGED, ServedPlan, ServedQuery
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
    "CHANGED",
    "CLOSING",
    "COARSE_FLOOR",
    "COMMITMENT",
    "FITPRINT",
    "LEAST_REQUESTS",
    "LEAST_SHARPNESS",
    "MANIFEST",
    "MOST_SHARPENED",
    "OPENING",
    "OWN_ARCHITECTURE",
    "PAIRS",
    "REBUILD",
    "REPEATED",
    "REPLAY",
    "SOURCES",
    "TIMES",
    "VERIFIER_LIMITS",
    "Calibration",
    "CoinPlan",
    "CoinQuery",
    "ErrorRates",
    "FingerprintBundle",
    "MetaVerifier",
    "ModelCard",
    "NaturalInputs",
    "OwnerMark",
    "Questions",
    "Schedule",
    "ServedPlan",
    "ServedQuery",
    "TargetBits",
    "VerifierKind",
    "asked_inputs",
    "check_place",
    "check_target_bits",
    "is_targeted",
    "mark_of",
    "nonce_of",
    "planned_places",
    "target_bits",
    "usual_looks",
]
