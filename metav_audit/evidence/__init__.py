"""Offline verification of an audit's folder: no network, no torch, no trust in whoever wrote it."""

from __future__ import annotations

from metav_audit.evidence.verify import Rebuild, Step, verify_folder

__all__ = ["Rebuild", "Step", "verify_folder"]
