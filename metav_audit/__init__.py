"""Audit a prediction API by queries alone, and say whether it serves a model derived from yours.

Importing this package loads neither torch nor httpx nor pandas nor matplotlib; each name below is fetched on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metav_audit.version import __version__ as __version__

_PLACES = {
    "Adapter": "metav_audit.adapter",
    "AuditFolder": "metav_audit.verdict",
    "Dither": "metav_audit.task",
    "DitherMiddleware": "metav_audit.serving.dithering",
    "Endpoint": "metav_audit.audit",
    "FingerprintBundle": "metav_audit.bundle",
    "Grant": "metav_audit.audit",
    "JsonApi": "metav_audit.serving.dithering",
    "MetavAuditError": "metav_audit.errors",
    "TaskSpec": "metav_audit.task",
    "Transcript": "metav_audit.transcript",
    "Verdict": "metav_audit.verdict",
    "audit_and_report": "metav_audit.casework",
    "audit_endpoint": "metav_audit.audit",
    "check_adapter": "metav_audit.adapter",
    "decide": "metav_audit.verdict",
    "read": "metav_audit.verdict",
    "read_dither": "metav_audit.task",
    "load_endpoints": "metav_audit.audit",
    "verify_folder": "metav_audit.verify",
    "write_reports": "metav_audit.report",
}

if TYPE_CHECKING:
    from metav_audit.adapter import Adapter as Adapter
    from metav_audit.adapter import check_adapter as check_adapter
    from metav_audit.audit import Endpoint as Endpoint
    from metav_audit.audit import Grant as Grant
    from metav_audit.audit import audit_endpoint as audit_endpoint
    from metav_audit.audit import load_endpoints as load_endpoints
    from metav_audit.bundle import FingerprintBundle as FingerprintBundle
    from metav_audit.casework import audit_and_report as audit_and_report
    from metav_audit.errors import MetavAuditError as MetavAuditError
    from metav_audit.report import write_reports as write_reports
    from metav_audit.serving.dithering import DitherMiddleware as DitherMiddleware
    from metav_audit.serving.dithering import JsonApi as JsonApi
    from metav_audit.task import Dither as Dither
    from metav_audit.task import TaskSpec as TaskSpec
    from metav_audit.task import read_dither as read_dither
    from metav_audit.transcript import Transcript as Transcript
    from metav_audit.verdict import AuditFolder as AuditFolder
    from metav_audit.verdict import Verdict as Verdict
    from metav_audit.verdict import decide as decide
    from metav_audit.verdict import read as read
    from metav_audit.verify import verify_folder as verify_folder

__all__ = sorted(_PLACES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'metav_audit' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
