"""An audit's folder recomputed, offline, in numbered steps."""

from __future__ import annotations

from metav_audit.verify.coins import verify_coins
from metav_audit.verify.steps import Expected, Step, verify_folder

__all__ = [
    "Expected",
    "Step",
    "verify_coins",
    "verify_folder",
]
