"""An audit's folder recomputed, offline, in numbered steps."""

from __future__ import annotations

from metav_audit.verify.checklist import Status, Step
from metav_audit.verify.coins import verify_coins
from metav_audit.verify.integrity import verify_integrity
from metav_audit.verify.served import verify_served
from metav_audit.verify.shared import packed_beside
from metav_audit.verify.steps import Verification, verify_audit, verify_folder
from metav_audit.verify.vouched import Expected

__all__ = [
    "Expected",
    "Status",
    "Step",
    "Verification",
    "packed_beside",
    "verify_audit",
    "verify_coins",
    "verify_folder",
    "verify_integrity",
    "verify_served",
]
