"""An audit's folder filled: the bundle's copy, the transcript and the verdict, so that all can be checked offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metav_audit.audit.client import audit_endpoint, check_ready
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.bundle import FingerprintBundle
from metav_audit.verdict import BUNDLE, AuditFolder, Verdict


def prepare_folder(bundle: FingerprintBundle, endpoint: Endpoint, folder: AuditFolder) -> None:
    """Check all that can be checked before anything is sent, and put the bundle's copy in its place.

    The copy brings the bundle's commitment along, and keeps the first one that it got.

    Raises:
        ConfigurationError: the budget is too small, a variable is not set (SecretError), the folder cannot be
            written or holds the audit of something else.
        TranscriptError: the transcript in the folder is damaged.
    """
    check_ready(bundle, endpoint, folder.path)
    if not folder.holds(bundle):
        bundle.save(folder / BUNDLE)


def audit_into_folder(bundle: FingerprintBundle, endpoint: Endpoint, folder: Path, **options: Any) -> Verdict:
    """Audit one endpoint, decide, and leave ``bundle/``, ``transcript.jsonl`` and ``verdict.json`` in ``folder``.

    ``options`` and errors are those of ``audit_endpoint``.
    """
    audit = AuditFolder(folder)
    prepare_folder(bundle, endpoint, audit)
    return audit.record(bundle, audit_endpoint(bundle, endpoint, folder, **options)).verdict
